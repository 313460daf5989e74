//! What the stats socket tells of checks and agents, and what commands change of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::compare::same;
use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;
use crate::support::peer::Peer;
use crate::support::wait::until;
use crate::support::{Lab, Origin};

/// Columns that say the same at any moment once everybody has been asked.
const COLUMNS: &[&str] = &[
    "svname",
    "slim",
    "status",
    "weight",
    "check_status",
    "check_code",
    "hanafail",
    "last_chk",
    "last_agt",
    "agent_status",
    "agent_code",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "mode",
    "intercepted",
    "cache_lookups",
    "cache_hits",
    "need_conn_est",
];

/// An HTTP server that answers so.
fn http(lab: &Lab, answer: &'static str) -> Origin {
    lab.serving(move |mut peer: Peer| {
        while peer.receive_line().trim() != "" {}
        let _ = peer.try_send(format!("HTTP/1.0 {answer}\r\n\r\n"));
    })
}

fn agent(lab: &Lab, word: &'static str) -> Origin {
    lab.serving(move |peer: Peer| {
        let _ = peer.into_stream().write_all(word.as_bytes());
    })
}

/// `show stat`, a map for each line.
fn stat(socket: &Path) -> Vec<BTreeMap<String, String>> {
    let text = ask(socket, "show stat");
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next().unwrap()[2..].split(',').collect();
    let row = |line: &str| {
        let cells = line.split(',').map(str::to_owned);
        names
            .iter()
            .map(|name| (*name).to_owned())
            .zip(cells)
            .collect()
    };
    // HAProxy's metrics come from a frontend of their own.
    let ours = |row: &BTreeMap<String, String>| ["fe", "page", "be"].contains(&&*row["pxname"]);
    lines.map(row).filter(ours).collect()
}

fn socket_in(directory: PathBuf) -> PathBuf {
    directory.join("cli")
}

#[test]
fn checks_and_agents_have_their_columns() {
    let seen = same("checks_and_agents_have_their_columns", |lab| {
        let socket = socket_in(temporary_directory());
        let (ok, bad) = (http(lab, "200 OK"), http(lab, "503 Busy"));
        let [up, down, drain] =
            ["up 50%\n", "down # too hot\n", "drain\n"].map(|word| agent(lab, word));
        let dead = lab.dead_origin("dead");
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    stats socket {socket} level admin
{defaults}
    default-server inter 100ms fastinter 100ms downinter 100ms agent-inter 100ms rise 1 fall 2
    timeout check 5s
frontend fe
    bind {front}
    default_backend be
frontend page
    mode http
    bind {page}
    stats enable
backend be
    option httpchk
    server ok {ok} check observe layer4
    server bad {bad} check
    server dead {dead} check
    server bare {ok}
    server up {ok} agent-check agent-port {up} weight 4
    server down {ok} check agent-check agent-port {down}
    server drain {ok} check agent-check agent-port {drain}
    server mute {ok} check agent-check agent-port {mute}
    server off {ok} check agent-check agent-port {up} disabled
",
            socket = socket.display(),
            defaults = lab.defaults(),
            front = lab.address(),
            page = lab.address(),
            ok = ok.address(),
            bad = bad.address(),
            dead = dead.address(),
            up = up.address().port(),
            down = down.address().port(),
            drain = drain.address().port(),
            mute = dead.address().port(),
        ));
        until(
            "everybody has been asked, and nobody is being asked",
            || {
                let rows = stat(&socket);
                let is_done = rows.iter().all(|row| {
                    ["check_status", "agent_status"]
                        .iter()
                        .all(|status| !row[*status].starts_with('*') && row[*status] != "INI")
                });
                // So that a fall is over too.
                let is_told = rows.iter().all(|row| !row["status"].contains("UP 1/2"));
                (is_done && is_told).then(|| {
                    let shown = |row: &BTreeMap<String, String>| {
                        COLUMNS
                            .iter()
                            .map(|name| format!("{name}={}", row[*name]))
                            .collect::<Vec<_>>()
                    };
                    rows.iter().map(shown).collect::<Vec<_>>()
                })
            },
        )
    });
    if let Some(seen) = seen {
        let has = |cell: &str| seen.iter().flatten().any(|found| found == cell);
        for cell in [
            "check_code=503",
            "agent_status=CHECKED",
            "last_agt=via agent : down (too hot)",
            "hanafail=0",
        ] {
            assert!(has(cell), "{cell}: {seen:#?}");
        }
    }
}

/// `be/a` is checked and has an agent; they may fail often while they are moved.
const COMMANDS: &[&str] = &[
    "set server be/a agent foo",
    "set server be/a agent down",
    "show stat be 4 -1",
    "set server be/a agent up",
    "show stat be 4 -1",
    "set server be/a check-port",
    "set server be/a check-port foo",
    "set server be/a check-port -1",
    "set server be/a check-port 70000",
    "set server be/a check-port 80",
    "set server be/a check-addr",
    "set server be/a check-addr foo",
    "set server be/a check-addr 192.0.2.1 port foo",
    "set server be/a check-addr 192.0.2.1",
    "show servers state be",
    "set server be/a check-addr 192.0.2.2 port 0",
    "show servers state be",
    "set server be/a agent-port",
    "set server be/a agent-port foo",
    "set server be/a agent-port 81",
    "set server be/a agent-addr",
    "set server be/a agent-addr foo",
    "set server be/a agent-addr 192.0.2.3 port 82",
    "set server be/a agent-send",
    "set server be/a agent-send hello",
    "show servers state be",
    "set server be/bare check-port 1",
    "set server be/bare check-addr 192.0.2.1",
    "set server be/bare agent-port 1",
    "set server be/bare agent-addr 192.0.2.1",
    "set server be/bare agent-send x",
    "set server be/bare agent up",
    "set server be/follows health down",
    "set server be/follows agent down",
    "set server be/bare addr 192.0.2.9 port +1",
    "set server be/bare addr 192.0.2.9 port +x",
    "set server be/own addr 192.0.2.1 port 8005",
    "disable health be/a",
    "disable agent be/a",
    "show stat be 4 -1",
    "show servers state be",
    "set server be/a check-port 1",
    "set server be/a agent-port 1",
    "enable health be/bare",
    "enable agent be/bare",
    "set maxconn frontend fe -1",
    "set server be/a addr 192.0.2.9 port +1",
];

#[test]
fn where_checks_go_is_changed_alike() {
    same("where_checks_go_is_changed_alike", |lab| {
        let socket = socket_in(temporary_directory());
        let origin = lab.echo();
        let agent = agent(lab, "up\n");
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    max-spread-checks 1s
    stats socket {socket} level admin
{defaults}
    default-server inter 60s agent-inter 60s fall 100
frontend fe
    bind {front}
    default_backend be
backend be
    server a {origin} check agent-check agent-port {agent}
    server own 192.0.2.1:8001 check addr 192.0.2.7 port 8002
    server port 192.0.2.1:8001 check port 8002 agent-check
    server bare 192.0.2.1:8001
    server follows 192.0.2.1:8001 track a
",
            socket = socket.display(),
            defaults = lab.defaults(),
            front = lab.address(),
            origin = origin.address(),
            agent = agent.address().port(),
        ));
        until("it has been asked", || {
            let rows = stat(&socket);
            let row = rows.iter().find(|row| row["svname"] == "a")?;
            (row["check_status"] == "L4OK" && row["agent_status"] == "L7OK").then_some(())
        });
        let answers = COMMANDS.iter().map(|line| {
            let answer = ask(&socket, line);
            let shown = if line.starts_with("show stat") {
                let statuses = stat(&socket);
                let status = |row: &BTreeMap<String, String>| {
                    // Their checks may fail before or after this.
                    if ["own", "port"].contains(&&*row["svname"]) {
                        return row["svname"].clone();
                    }
                    let cells = [
                        "svname",
                        "status",
                        "chkfail",
                        "chkdown",
                        "check_rise",
                        "agent_rise",
                    ];
                    cells.map(|cell| row[cell].clone()).join(",")
                };
                statuses.iter().map(status).collect::<Vec<_>>().join("\n")
            } else if line.starts_with("show servers state") {
                let timeless = |line: &str| {
                    let words = line.split(' ').enumerate();
                    // State, time, what the first check found, and whether one runs.
                    let words = words.filter(|(at, _)| ![5, 9, 10, 11, 12, 13, 14].contains(at));
                    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
                };
                answer.lines().map(timeless).collect::<Vec<_>>().join("\n")
            } else {
                answer
            };
            let (ip, port) = (origin.address().ip(), origin.address().port());
            let shown = shown
                .replace(&ip.to_string(), "IP")
                .replace(&port.to_string(), "PORT")
                .replace(&agent.address().port().to_string(), "AGENT");
            (*line, shown)
        });
        answers.collect::<Vec<_>>()
    });
}

#[test]
fn a_restart_takes_over_the_same_of_servers() {
    same("a_restart_takes_over_the_same_of_servers", |lab| {
        let directory = temporary_directory();
        let (saved, socket) = (directory.join("state"), socket_in(directory));
        let origin = lab.echo();
        let (ip, port) = (origin.address().ip(), origin.address().port());
        let lines = [
            format!("3 be 1 up {ip} 2 0 1 1 3 6 3 4 6 0 0 0 - {port} - 0 0 - - 0"),
            format!("3 be 2 bare {ip} 0 0 1 1 3 1 0 0 0 0 0 0 - {port} - 0 0 - - 0"),
            format!("3 be 3 rests {ip} 2 0 1 1 3 17 3 4 2 0 0 0 - {port} - 0 0 - - 0"),
            format!("3 be 4 aside {ip} 2 0 1 1 3 6 3 4 6 0 0 0 - {port} - 0 77 192.0.2.1 - 0"),
        ];
        let names = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
                     srv_uweight srv_iweight srv_time_since_last_change srv_check_status \
                     srv_check_result srv_check_health srv_check_state srv_agent_state \
                     bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                     srv_check_port srv_check_addr srv_agent_addr srv_agent_port";
        std::fs::write(&saved, format!("1\n{names}\n{}\n", lines.join("\n"))).unwrap();
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    server-state-file {saved}
    stats socket {socket} level admin
{defaults}
    load-server-state-from-file global
    default-server inter 60s
frontend fe
    bind {front}
    default_backend be
backend be
    server up {ip}:{port} check
    server bare {ip}:{port}
    server rests {ip}:{port} check
    server aside {ip}:{port} check port 9
",
            saved = saved.display(),
            socket = socket.display(),
            defaults = lab.defaults(),
            front = lab.address(),
        ));
        let rows = stat(&socket);
        let shown = rows.iter().map(|row| {
            let cells = [
                "svname",
                "status",
                "check_status",
                "check_health",
                "chkdown",
            ];
            cells.map(|cell| row[cell].clone())
        });
        let state = ask(&socket, "show servers state be");
        let state = state
            .replace(&ip.to_string(), "IP")
            .replace(&port.to_string(), "PORT");
        let timeless = |line: &str| {
            // The result of one whose check is running now is none.
            let words = line
                .split(' ')
                .enumerate()
                .filter(|(at, _)| ![9, 11, 13].contains(at));
            words.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        };
        (
            shown
                .map(|cells| cells.map(|cell| cell.replace("* ", "")))
                .collect::<Vec<_>>(),
            state.lines().map(timeless).collect::<Vec<_>>(),
        )
    });
}
