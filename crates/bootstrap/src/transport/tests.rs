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
    let script = in_one_piece("echo first\necho second");
    for length in 0..script.len() - 2 {
        let part = &script[..length];
        let outcome = local()
            .as_root("sh -eu", part.as_bytes(), LIMIT)
            .await
            .expect("runs");
        assert_eq!(outcome.stdout, "", "{part:?}");
    }
    let outcome = local()
        .as_root("sh -eu", script.as_bytes(), LIMIT)
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
        (4 << 20, "end\n")
    );
}

#[tokio::test]
async fn a_file_is_written_whole_with_its_mode_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;

    let folder = std::env::temp_dir().join(format!("evenkeel-transport-{}", std::process::id()));
    let path = folder.join("it's a file");
    let name = path.display().to_string();
    local()
        .write(&name, b"text\n", 0o600, LIMIT)
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
        .write(&format!("{name}/below"), b"", 0o600, LIMIT)
        .await;
    assert!(matches!(refused, Err(Failure::Write { .. })), "{refused:?}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn ssh_gets_what_the_inventory_says_and_no_more() {
    let ssh = Ssh {
        host: "10.0.1.11".to_owned(),
        user: Some("admin".to_owned()),
        port: Some(2222),
        key: Some("/keys/k".into()),
        bastion: Some("jump@gate".to_owned()),
        config: None,
        sudo: true,
        connect_timeout: Duration::from_secs(7),
    };
    let words = ssh_arguments(&ssh, &Options::default())
        .expect("a folder can be made")
        .join(" ");
    assert!(
        words.ends_with("-p 2222 -l admin -J jump@gate -i /keys/k -- 10.0.1.11"),
        "{words}"
    );
    assert!(
        words.contains("-oConnectTimeout=7 ") && !words.contains("StrictHostKeyChecking"),
        "{words}"
    );
    let plain = Ssh {
        user: None,
        port: None,
        key: None,
        bastion: None,
        ..ssh
    };
    let options = Options {
        accept_new_host_keys: true,
        ..Options::default()
    };
    let words = ssh_arguments(&plain, &options)
        .expect("a folder can be made")
        .join(" ");
    assert!(
        words.ends_with("-oStrictHostKeyChecking=accept-new -- 10.0.1.11"),
        "{words}"
    );
}

#[test]
fn what_ssh_says_tells_what_to_do() {
    for (said, meant) in [
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
