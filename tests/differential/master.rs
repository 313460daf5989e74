//! Commands on the master's socket (`-S`): the same lines get the same answers, but for process ids,
//! versions, times and what each says of a load.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::compare::same;
use crate::support::balancer::{Launch, temporary_directory};
use crate::support::lab::visit;
use crate::support::{Balancer, Lab, Origin, Peer, until};

/// A balancer with a master's socket in front of one server.
struct Scene {
    lb: Balancer,
    master: PathBuf,
    front: std::net::SocketAddr,
    _origin: Origin,
    text: String,
}

fn start(lab: &Lab, options: &str) -> Scene {
    let master = temporary_directory().join("master");
    let (front, origin) = (lab.address(), lab.origin("server"));
    let text = format!(
        "
global
    maxconn 1000
{defaults}
frontend fe
    bind {front}
    default_backend be
backend be
    server s1 {server}
",
        defaults = lab.defaults(),
        server = origin.address(),
    );
    let argument = format!("{}{options}", master.display());
    let launch = Launch {
        arguments: ["-W", "-S", &argument].map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    let lb = lab.launch(&text, &launch);
    Scene {
        lb,
        master,
        front,
        _origin: origin,
        text,
    }
}

/// What differs by nature, told alike.
fn plain(answer: &str) -> String {
    let rules = [
        // Columns of `show proc`, wide or not.
        (r"(?m)^[0-9]+ +(master|worker) +", "PID $1 "),
        (
            r"[0-9]d[0-9][0-9]h[0-9][0-9]m[0-9][0-9]s +[^ \n]+ *\n",
            "TIME VERSION\n",
        ),
        (r"(?m)(^|> )[0-9]+\.[0-9]+[^ \n]*$", "${1}VERSION"),
        (r"(?m)^[0-9]+(\([a-z]+\))?> ", "PID$1> "),
        (r"\[[0-9]+:[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\] ", "[TIME] "),
        (r"(?m)(\[TIME\] |> )[0-9]+(\([a-z]+\))?> ", "${1}PID$2> "),
    ];
    rules.iter().fold(answer.to_owned(), |text, (from, to)| {
        Regex::new(from)
            .unwrap()
            .replace_all(&text, *to)
            .into_owned()
    })
}

/// Each one by a visitor of its own, on the same process.
const COMMANDS: &[&str] = &[
    "",
    ";",
    "show version",
    "show version;show version",
    "show cli level ; ; show version",
    r"show\ version;show cli level",
    "show cli level",
    "show cli sockets",
    "show proc",
    "  show \t proc  ",
    "show proc debug",
    "@1 show version",
    "@1 show cli level",
    "  @1   show   version",
    "@01 show version",
    "@1",
    "@",
    "@master",
    "@0 show cli level",
    "@ show version",
    "@master show version",
    "@1;show cli level;@;show version",
    "@1;@ show version;show cli level",
    "@1 show version;show version;@1 show version",
    "@1 set severity-output number;@1 get weight be/nope",
    "@1 get weight be/s1",
    "@1 set weight be/s1 20;@1 get weight be/s1",
    "@1 show backend",
    "@1 show env NO_SUCH_VARIABLE",
    "@1 quit;show version",
    "@1 show version <<\nfoo\n\nshow cli level",
    "operator",
    "operator;show cli level",
    "operator x;operator;show cli level",
    "operator;@1 show cli level",
    "operator;@1 set maxconn global 5",
    "user;show cli level",
    "user;@1 show cli level",
    "user;reload;show version",
    "user;hard-reload;show version",
    "user;show startup-logs;show version",
    "expert-mode on",
    "expert-mode;experimental-mode;mcli-debug-mode",
    "experimental-mode on;show version",
    "mcli-debug-mode on;show env NO_SUCH_VARIABLE",
    "show env NO_SUCH_VARIABLE;quit",
    "quit;show version",
    "show version;quit;show version",
    "prompt",
    "prompt;show version;@1;show version;",
    "prompt;prompt;show version",
    "prompt timed;show version;@1;show version;@;quit",
    "prompt timed;prompt timed;show version",
    "prompt;expert-mode on;experimental-mode on;mcli-debug-mode on;@1;@;mcli-debug-mode off",
    "prompt;show version;quit;show version",
    "show version\n\nshow cli level\nquit\nshow version",
];

/// What an unknown command is answered with, but for the sentences.
fn without_sentences(answer: &str) -> String {
    let offer = Regex::new(r"(?m)^  [^ ].*\n").unwrap();
    offer.replace_all(answer, "").into_owned()
}

#[test]
fn commands_are_answered_to_the_byte() {
    let shown = same("master: commands_are_answered_to_the_byte", |lab| {
        let scene = start(lab, "");
        let answers = COMMANDS.iter().map(|line| {
            let answer = plain(&ask(&scene.master, line));
            (*line, without_sentences(&answer))
        });
        answers.collect::<Vec<_>>()
    });
    if let Some(shown) = shown {
        assert!(
            shown
                .iter()
                .any(|(_, answer)| answer.contains("PID master"))
        );
    }
}

/// The commands that are listed, and in which order.
#[test]
fn help_lists_the_same_commands() {
    same("master: help_lists_the_same_commands", |lab| {
        let scene = start(lab, "");
        let lines = ["help", "help show", "foo", "show"].map(|line| ask(&scene.master, line));
        lines.map(|text| {
            let usage = |line: &str| line.split(" : ").next().unwrap().trim_end().to_owned();
            // HAProxy has none.
            let lines = text.lines().filter(|line| !line.starts_with("  upgrade "));
            lines.map(usage).collect::<Vec<_>>()
        })
    });
}

/// `level` behind the socket's name is where visitors begin.
#[test]
fn a_level_holds_on_the_socket() {
    same("master: a_level_holds_on_the_socket", |lab| {
        let scene = start(lab, ",mode,600,level,user");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&scene.master).unwrap().permissions(),
        );
        let lines = ["show cli level", "@1 show cli level", "reload", "operator"];
        (mode & 0o777, lines.map(|line| ask(&scene.master, line)))
    });
}

/// The first lines of an answer to `reload`, and the last ones that both say.
fn verdict(answer: &str) -> (String, bool, bool, bool) {
    let head: Vec<&str> = answer.lines().take(2).collect();
    (
        head.join("\n"),
        answer.contains(") : Loading success.\n"),
        answer.contains(") : Loading failure!\n"),
        answer.ends_with("\n\n"),
    )
}

/// A reload is answered when it is done, and `show proc` counts it.
#[test]
fn reloads_are_answered_and_counted() {
    let seen = same("master: reloads_are_answered_and_counted", |lab| {
        let scene = start(lab, "");
        let proc = || plain(&ask(&scene.master, "show proc"));
        let mut seen = vec![proc()];
        let mut held = Peer::connect(scene.front);
        assert_eq!(held.receive_line(), "server");
        let mut verdicts = Vec::new();

        verdicts.push(verdict(&ask(&scene.master, "reload;show version")));
        assert_eq!(visit(scene.front), "server");
        seen.push(proc());

        let file = scene.lb.file("lb.cfg");
        let good = std::fs::read_to_string(&file).unwrap();
        assert!(good.starts_with(&scene.text));
        std::fs::write(&file, good.replace("default_backend", "defualt_backend")).unwrap();
        let answer = ask(&scene.master, "reload");
        verdicts.push(verdict(&answer));
        let place = |line: &str| line.starts_with("[ALERT] ") && line.contains("lb.cfg:15");
        assert!(answer.lines().any(place), "{answer}");
        assert_eq!(visit(scene.front), "server");
        seen.push(proc());
        let logs = ask(&scene.master, "show startup-logs");
        let is_kept = answer.ends_with(&logs);
        let prompt = plain(&ask(&scene.master, "prompt;@1;@"));

        std::fs::write(&file, &good).unwrap();
        verdicts.push(verdict(&ask(&scene.master, "reload")));
        let worker = Regex::new("(?s)# old workers\n([0-9]+)").unwrap();
        let alone = until("only the generation with a session is left", || {
            let shown = ask(&scene.master, "show proc");
            let old = shown.split_once("# old workers")?.1.to_owned();
            (old.matches(" worker ").count() == 1).then_some(shown)
        });
        seen.push(plain(&alone));
        let number = worker.captures(&alone).unwrap()[1].to_owned();
        let old = plain(&ask(&scene.master, &format!("@!{number} show version")));
        assert!(!held.has_failed());

        verdicts.push(verdict(&ask(&scene.master, "hard-reload")));
        held.end();
        until("no generation drains", || {
            (!ask(&scene.master, "show proc").contains("# old")).then_some(())
        });
        seen.push(proc());
        (seen, verdicts, is_kept, prompt, old)
    });
    if let Some((seen, verdicts, ..)) = seen {
        assert!(seen[1].contains("# old workers\nPID worker 1 "), "{seen:?}");
        assert_eq!(verdicts[1].0, "Success=0\n--");
    }
}

/// The socket is there all the time, and a visitor that asks for nothing else stays.
#[test]
fn a_visitor_with_a_prompt_is_answered_line_by_line() {
    same("master: a_visitor_is_answered_line_by_line", |lab| {
        let scene = start(lab, "");
        let mut visitor = connect(&scene.master);
        let mut talk = |line: &str, end: &str| {
            visitor.write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut said = String::new();
            let mut piece = [0; 4096];
            while !plain(&said).ends_with(end) {
                let read = read(&mut visitor, &mut piece);
                assert!(read > 0, "{line}: {said}");
                said.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
            plain(&said)
        };
        [
            talk("show version", "\n\n"),
            talk("prompt", "> "),
            talk("@foo;show version", "> "),
            talk("", "> "),
            talk("@1", "> "),
            talk("show cli level", "> "),
            talk("experimental-mode on", "> "),
            talk("@", "> "),
            talk("prompt timed", "> "),
            talk("user;operator;show version", "!\n[TIME] master(x)> "),
        ]
    });
}

/// Of the answers that HAProxy ends now by closing, now by a reset: their line, and that no other
/// command of the line is answered.
#[test]
fn what_is_refused_ends_the_line() {
    same("master: what_is_refused_ends_the_line", |lab| {
        let scene = start(lab, "");
        let lines = [
            "@foo show version;show version",
            "@!99999999;show version",
            "@2;show version",
            "user;operator;show version",
            "user;expert-mode on;show version",
        ];
        lines.map(|line| {
            let mut visitor = connect(&scene.master);
            visitor.write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut said = Vec::new();
            let mut piece = [0; 4096];
            while !said.ends_with(b"\n") {
                let read = read(&mut visitor, &mut piece);
                assert!(read > 0, "{line}: {}", String::from_utf8_lossy(&said));
                said.extend_from_slice(&piece[..read]);
            }
            String::from_utf8(said).unwrap()
        })
    });
}

/// The whole answer to a line.
fn ask(master: &Path, line: &str) -> String {
    let mut stream = connect(master);
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    let mut piece = [0; 4096];
    loop {
        match read(&mut stream, &mut piece) {
            0 => return answer,
            read => answer.push_str(&String::from_utf8_lossy(&piece[..read])),
        }
    }
}

/// HAProxy resets a connection that it has not read to the end; the kernel tells that once, and
/// what was said before comes after it.
fn read(stream: &mut UnixStream, piece: &mut [u8]) -> usize {
    match stream.read(piece) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => stream.read(piece).unwrap(),
        read => read.unwrap(),
    }
}

fn connect(master: &Path) -> UnixStream {
    let stream = until("the master takes visitors", || {
        UnixStream::connect(master).ok()
    });
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    stream
}
