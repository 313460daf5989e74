//! What a file of states and the configuration make of a server where they do not say the same.

use crate::compare::same;
use crate::support::Lab;
use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;

/// A server's name, address, states, `srv_fqdn` and port.
type Saved<'a> = (String, &'a str, (u8, u8), &'a str, u16);

/// Starts with `servers` and a file that has `saved`. What `show servers state` tells of them.
fn restarted(lab: &Lab, servers: &str, saved: &[Saved<'_>]) -> Vec<String> {
    let directory = temporary_directory();
    let (state, socket) = (directory.join("state"), directory.join("cli"));
    let lines = saved.iter().enumerate().map(|(at, (name, ip, (health, admin), fqdn, port))| {
        let id = at + 1;
        format!("3 be {id} {name} {ip} {health} {admin} 1 1 3 6 3 4 6 0 0 0 {fqdn} {port} - 0 0 - - 0\n")
    });
    let names = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
                 srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
                 srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id \
                 srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
                 srv_agent_addr srv_agent_port";
    let text = format!("1\n{names}\n{}", lines.collect::<String>());
    std::fs::write(&state, text).unwrap();
    let _lb = lab.start(&format!(
        "
global
    server-state-file {state}
    stats socket {socket} level admin
{defaults}
    load-server-state-from-file global
    default-server inter 1h rise 5
frontend fe
    bind {front}
    default_backend be
backend be
{servers}
",
        state = state.display(),
        socket = socket.display(),
        defaults = lab.defaults(),
        front = lab.address(),
    ));
    let shown = ask(&socket, "show servers state be");
    let told = shown.lines().skip(2).filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        // Name, address, state, administrative state, name in the network, port.
        let told: Option<Vec<&str>> = [3, 4, 5, 6, 17, 18]
            .iter()
            .map(|at| words.get(*at).copied())
            .collect();
        told.map(|told| told.join(" "))
    });
    told.collect()
}

#[test]
fn what_the_file_says_now_outdoes_what_it_said_then() {
    let seen = same("what_the_file_says_now_outdoes_what_it_said_then", |lab| {
        let origin = lab.echo();
        let (port, address) = (origin.address().port(), origin.address());
        let (mut servers, mut saved) = (String::new(), Vec::new());
        for health in [0, 2] {
            for admin in [0, 1, 4, 5, 8, 12] {
                for disabled in ["", "disabled"] {
                    let name = format!("was{health}-{admin}{disabled}");
                    servers += &format!("    server {name} {address} check {disabled}\n");
                    saved.push((name, "127.0.0.1", (health, admin), "-", port));
                }
            }
        }
        let seen = restarted(lab, &servers, &saved);
        // Where it was is the configuration's, and each program has its own.
        let but_place = seen.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            [words[0], words[2], words[3]].map(str::to_owned)
        });
        but_place.collect::<Vec<_>>()
    });
    for [name, health, admin] in seen.into_iter().flatten() {
        match &name[..] {
            "was2-0disabled" => assert_eq!((&health[..], &admin[..]), ("0", "5")),
            "was2-5" => assert_eq!((&health[..], &admin[..]), ("2", "0")),
            _ => {}
        }
    }
}

#[test]
fn servers_start_where_they_were_without_name_servers() {
    let seen = same(
        "servers_start_where_they_were_without_name_servers",
        |lab| {
            let servers = "
    server gone gone.invalid:6443
    server moved gone.invalid:6443
    server local localhost:6443
    server first localhost:6443 init-addr libc,last
    server never localhost:6443 init-addr libc
    server fixed 127.0.0.2:6443
";
            let at = |name: &str, fqdn, port| (name.to_owned(), "127.0.0.9", (2, 0), fqdn, port);
            let saved = [
                at("gone", "gone.invalid", 6443),
                at("moved", "gone.invalid", 6444),
                at("local", "localhost", 6443),
                at("first", "localhost", 6443),
                at("never", "localhost", 6443),
                at("fixed", "-", 6443),
            ];
            restarted(lab, servers, &saved)
        },
    );
    if let Some(seen) = seen {
        assert_eq!(seen[0], "gone 127.0.0.9 2 0 gone.invalid 6443");
    }
}
