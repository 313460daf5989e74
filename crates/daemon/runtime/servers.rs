//! `show servers state`: what a restart can take over, a line for each server.

use std::fmt::Write as _;
use std::net::IpAddr;

use evenkeel_health::{CheckOutcome, CheckStatus};
use evenkeel_proxy::{BackendSnapshot, ServerSnapshot, ServerStatus};

use super::look::ip_and_port;

const HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state \
     srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
     srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn \
     srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

/// HAProxy's codes of a check's outcome, in the order of their numbers; one has no name.
pub(super) const OUTCOMES: &[&str] = &[
    "UNK", "INI", "START", "CHECKED", "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK",
    "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "", "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT",
    "PROCOK",
];
/// A check that did not run yet.
const INITIALIZING: usize = 1;

/// The servers of `backends` in version 1 of the format.
pub(crate) fn state(backends: &[&BackendSnapshot]) -> String {
    let mut text = HEADER.to_owned();
    for backend in backends {
        for server in &backend.servers {
            line(&mut text, backend, server);
        }
    }
    text
}

fn line(text: &mut String, backend: &BackendSnapshot, server: &ServerSnapshot) {
    let (ip, port) = ip_and_port(server);
    let (status, result) = check_words(server);
    let host = if server.host.is_empty() {
        "-"
    } else {
        &server.host
    };
    writeln!(
        text,
        "{} {} {} {} {ip} {} {} {} {} {} {status} {result} {} {} {} 0 0 {host} {port} - 0 {}",
        backend.id,
        backend.name,
        server.id,
        server.name,
        operational(server),
        administrative(server),
        server.full_weight,
        server.configured_weight,
        server.service.last_change.as_secs(),
        health(server),
        check_state(server),
        agent_state(server),
        places(server),
    )
    .expect("writing to a String does not fail");
}

/// 0 stopped, 1 starting, 2 running, 3 stopping.
fn operational(server: &ServerSnapshot) -> u8 {
    match server.status {
        status if status.is_down() || status.is_maint() => 0,
        ServerStatus::Stopping => 3,
        _ if server.throttle.is_some() => 1,
        _ => 2,
    }
}

/// HAProxy's bits: forced, inherited and configured maintenance, forced and inherited drain, no
/// address.
fn administrative(server: &ServerSnapshot) -> u8 {
    let admin = server.admin;
    [
        (admin.forced_maint, 0x01),
        (admin.inherited_maint, 0x02),
        (server.is_disabled_by_file, 0x04),
        (admin.forced_drain, 0x08),
        (admin.inherited_drain, 0x10),
        (admin.unresolved, 0x20),
        (server.is_host_set, 0x40),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, bit)| bit)
    .sum()
}

/// The number of the last outcome, and of what it means: 0 nothing, 2 failed, 3 passed, 4 passed
/// but wants no new clients.
fn check_words(server: &ServerSnapshot) -> (usize, u8) {
    let passed = |check: &CheckOutcome| match check.status {
        CheckStatus::L7OkConditional => 4,
        _ if check.is_pass() => 3,
        _ => 2,
    };
    match &server.last_check {
        Some(check) if server.is_checked => {
            let known = OUTCOMES
                .iter()
                .position(|code| *code == check.status.code());
            (known.unwrap_or(0), passed(check))
        }
        _ => (INITIALIZING, 0),
    }
}

/// HAProxy's counter; of a server without checks of its own its default `rise`, unless it was put
/// in maintenance or down itself.
fn health(server: &ServerSnapshot) -> u32 {
    const DEFAULT_RISE: u32 = 2;
    match server.status {
        status if status.is_maint() => 0,
        _ if server.is_checked => server.health.0,
        status if status.is_down() && server.tracked.is_none() => 0,
        _ => DEFAULT_RISE,
    }
}

/// HAProxy's bits: configured, enabled, paused.
fn check_state(server: &ServerSnapshot) -> u8 {
    if !server.is_checked {
        return 0;
    }
    let enabled = if server.checks_enabled { 0x04 } else { 0 };
    let paused = if server.status.is_maint() { 0x08 } else { 0 };
    0x02 | enabled | paused
}

/// The same of the agent, with the bit that says that it is one.
fn agent_state(server: &ServerSnapshot) -> u8 {
    match &server.agent {
        None => 0,
        Some(agent) if agent.is_enabled => 0x16,
        Some(_) => 0x12,
    }
}

/// Where it is checked, and where its agent is, as far as that is not where it is itself: the
/// check's port and address, the agent's address and port.
fn places(server: &ServerSnapshot) -> String {
    let check = server.check_place;
    let (agent_ip, agent_port) = server.agent_place;
    let shown = |ip: Option<IpAddr>| ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    format!(
        "{} {} {} {agent_port}",
        check.port.unwrap_or_default(),
        shown(check.ip),
        shown(agent_ip)
    )
}
