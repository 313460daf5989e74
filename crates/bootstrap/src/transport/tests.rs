use super::*;
use crate::inventory::Role;

fn local() -> Machine {
    Machine::here("here")
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_script_runs_to_its_end_with_an_empty_input() {
    let outcome = local()
        .run("cat; echo out; echo err >&2; exit 3", LIMIT)
        .await
        .expect("runs");
    assert_eq!(
        outcome,
        Outcome {
            status: 3,
            stdout: "out\n".to_owned(),
            stderr: "err\n".to_owned()
        }
    );
}

#[tokio::test]
async fn a_script_stops_at_its_first_failure() {
    let outcome = local()
        .run("false\necho went on", LIMIT)
        .await
        .expect("runs");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
}

#[tokio::test]
async fn a_script_that_arrives_in_part_does_nothing() {
    let script = shell::whole("echo first\necho second");
    for length in 0..script.len() - 2 {
        let part = &script[..length];
        let outcome = local()
            .as_root("sh -eu", Input::bytes(part.into()), LIMIT)
            .await
            .expect("runs");
        assert_eq!(outcome.stdout, "", "{part:?}");
    }
    let outcome = local()
        .as_root("sh -eu", Input::bytes(script.clone().into_bytes()), LIMIT)
        .await
        .expect("runs");
    assert_eq!(outcome.stdout, "first\nsecond\n");
}

#[tokio::test]
async fn no_list_of_processes_shows_a_script() {
    let script = ": hidden-word; cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '";
    let outcome = local().run(script, LIMIT).await.expect("runs");
    assert!(
        outcome.stdout.contains("/dev/fd/3") && !outcome.stdout.contains("hidden-word"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_script_that_hangs_is_ended_and_its_words_are_kept() {
    let failure = local()
        .run("echo half; sleep 600", Duration::from_millis(200))
        .await;
    match failure {
        Err(Failure::TimedOut { said, .. }) => assert_eq!(said, "half"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_large_output_is_read_whole_up_to_its_bound() {
    let outcome = local()
        .run(
            "head -c 6000000 /dev/zero | tr '\\0' x; echo >&2 end",
            LIMIT,
        )
        .await
        .expect("runs");
    assert_eq!(
        (outcome.stdout.len(), outcome.stderr.as_str()),
        ((4 << 20) - BEGINS.len() - 1, "end\n")
    );
}

#[tokio::test]
async fn a_file_is_written_whole_with_its_mode_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;

    let folder = std::env::temp_dir().join(format!("evenkeel-transport-{}", std::process::id()));
    let path = folder.join("it's a file");
    let name = path.display().to_string();
    local()
        .write(&name, b"text\n", 0o600, None)
        .await
        .expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "text\n");
    assert_eq!(
        std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode()
            & 0o7777,
        0o600
    );
    let refused = local()
        .write(&format!("{name}/below"), b"", 0o600, None)
        .await;
    assert!(matches!(refused, Err(Failure::Write { .. })), "{refused:?}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_read_is_not_written_over() {
    let folder = Folder::new("changed");
    let name = folder.path("hosts");
    std::fs::write(&name, "theirs\n").expect("written");
    let before = crate::plan::hash("what was there\n");
    let written = local().write(&name, b"ours\n", 0o644, Some(&before)).await;
    assert!(
        matches!(written, Err(Failure::Changed { .. })),
        "{written:?}"
    );
    assert_eq!(std::fs::read_to_string(&name).expect("there"), "theirs\n");
    let before = crate::plan::hash("theirs\n");
    let written = local().write(&name, b"ours\n", 0o644, Some(&before)).await;
    written.expect("it is the same");
    assert_eq!(std::fs::read_to_string(&name).expect("there"), "ours\n");
    let files = std::fs::read_dir(&folder.0).expect("there").count();
    assert_eq!(files, 1, "nothing is left beside it");
}

#[tokio::test]
async fn a_link_stays_one() {
    let folder = Folder::new("link");
    let (link, file) = (folder.path("hosts"), folder.path("real"));
    std::fs::write(&file, "").expect("written");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    local()
        .write(&link, b"text\n", 0o644, None)
        .await
        .expect("written");
    assert!(
        std::fs::symlink_metadata(&link)
            .expect("there")
            .is_symlink()
    );
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "text\n");
}

#[tokio::test]
async fn a_large_file_is_copied_in_pieces() {
    let folder = Folder::new("large");
    let (from, to) = (folder.path("from"), folder.path("to"));
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    std::fs::write(&from, &content).expect("written");
    local()
        .upload(Path::new(&from), &to, 0o600)
        .await
        .expect("copied");
    assert_eq!(std::fs::read(&to).expect("there"), content);
    let missing = local().upload(Path::new("/nowhere/file"), &to, 0o600).await;
    let said = missing.expect_err("there is none").to_string();
    assert!(
        said.starts_with("cannot read /nowhere/file: No such file"),
        "{said}"
    );
}

#[tokio::test]
async fn the_limit_of_a_command_counts_from_the_last_piece_that_it_took() {
    let folder = Folder::new("slow");
    let from = folder.path("from");
    std::fs::write(&from, vec![0; 3 << 20]).expect("written");
    let slowly = "while [ \"$(head -c 400000 | wc -c)\" -gt 0 ]; do sleep 0.2; done";
    let words = ["sh", "-c", slowly].map(str::to_owned);
    let limit = Duration::from_millis(900);
    let (input, _) = Input::file(Path::new(&from)).await.expect("there");
    let began = std::time::Instant::now();
    let outcome = program::run(&words, input, limit)
        .await
        .expect("it goes on");
    assert_eq!(outcome.status, 0);
    assert!(began.elapsed() > limit, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_program_that_was_killed_is_no_limit_that_passed() {
    let outcome = local()
        .run("sh -c 'kill -9 $$'", LIMIT)
        .await
        .expect("runs");
    assert_eq!(outcome.status, 137);
    let outcome = local().run("exit 255", LIMIT).await.expect("runs");
    assert_eq!(outcome.status, 254, "255 is ssh's own");
}

#[tokio::test]
async fn programs_are_looked_for_where_facts_look() {
    let outcome = local().run("echo \"$PATH\"", LIMIT).await.expect("runs");
    assert!(
        outcome
            .stdout
            .trim_end()
            .ends_with(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    );
}

/// A terminal's Ctrl-C goes to a group of processes.
#[tokio::test]
async fn a_command_is_not_in_our_group() {
    let outcome = local()
        .run("cut -d ' ' -f 5 /proc/$$/stat", LIMIT)
        .await
        .expect("runs");
    let group: i32 = outcome.stdout.trim().parse().expect("a number");
    assert_ne!(group, rustix::process::getpgrp().as_raw_nonzero().get());
}

/// What has begun goes on, says all that it has to say, and is waited for.
#[tokio::test]
async fn a_change_goes_on_without_its_operator() {
    let folder = Folder::new("on");
    let (begun, go, done) = (folder.path("begun"), folder.path("go"), folder.path("done"));
    let script = format!(
        "touch {begun}\nuntil [ -e {go} ]; do sleep 0.05; done\necho words\nseq 100000\necho yes >{done}\n"
    );
    let words = local().words(&local().for_root(&shell::changing(LIMIT, LIMIT)));
    let mut child = program::start(&words).expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    use tokio::io::AsyncWriteExt;
    stdin
        .write_all(shell::whole(&script).as_bytes())
        .await
        .expect("taken");
    drop(stdin);
    let until_there = async |path: &str| {
        let began = std::time::Instant::now();
        while !Path::new(path).exists() {
            assert!(began.elapsed() < LIMIT, "{path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until_there(&begun).await;
    // As a connection ends: nobody reads any more, and nobody is told.
    drop(child.stdout.take());
    drop(child.stderr.take());
    std::fs::write(&go, "").expect("written");
    until_there(&done).await;
    let outcome = local()
        .run_alone("echo next", LIMIT)
        .await
        .expect("its turn comes");
    assert_eq!(outcome.stdout, "next\n");
    let _ = child.wait().await;
}

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("evenkeel-line-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_ssh_says_tells_what_to_do() {
    for (said, meant) in [
        ("", "cannot be reached: the connection ended without a word"),
        (
            "ssh: connect to host 10.0.1.11 port 22: Connection refused\r\n",
            "cannot be reached",
        ),
        (
            "ssh: connect to host 10.0.1.11 port 22: No route to host\r\n",
            "cannot be reached",
        ),
        (
            "No ED25519 host key is known for h and you have requested strict checking.\r\nHost key verification failed.\r\n",
            "--accept-new-host-keys",
        ),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n",
            "ssh-keygen -R HOST",
        ),
        (
            "Connection to 10.0.1.11 closed by remote host.\r\n",
            "cannot be reached",
        ),
        (
            "client_loop: send disconnect: Broken pipe\r\n",
            "cannot be reached",
        ),
        (
            "admin@10.0.1.11: Permission denied (publickey).\r\n",
            "authorized_keys",
        ),
        (
            "Bad owner or permissions on /root/.ssh/config\r\n",
            "Bad owner",
        ),
    ] {
        let message = Failure::of_ssh(said).to_string();
        assert!(message.contains(meant), "{said}: {message}");
    }
}

#[tokio::test]
async fn a_host_where_we_are_root_needs_no_sudo() {
    let node = Node {
        name: "here".to_owned(),
        role: Role::Worker,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        transport: Transport::Local { sudo: false },
    };
    match Machine::connect(&node, &Options::default()).await {
        Ok(machine) => assert!(matches!(machine.rights, Rights::Enough)),
        Err(failure) => assert!(matches!(failure, Failure::NotRoot), "{failure}"),
    }
}
