//! The file, with the reason for each choice beside it.

use std::fmt::Write as _;

use super::plan::{Instance, Plan};

/// Seconds between two adverts. Three that stay away, and less than 0.1 s that a lower priority adds,
/// are a dead node: at most one second.
const ADVERT: &str = "0.3";

pub(super) fn print(plan: &Plan) -> String {
    let mut text = String::from(
        "# Printed by 'evenkeel keepalived', for /etc/keepalived/keepalived.conf (keepalived 2.0 or later).\n",
    );
    for other in &plan.others {
        put(&mut text, format_args!("# For the other node: {other}\n"));
    }
    if !plan.left_out.is_empty() {
        let left_out = plan.left_out.join(", ");
        put(
            &mut text,
            format_args!("# Bound by the file and not moved: {left_out}\n"),
        );
    }
    for vip in &plan.unbound {
        put(
            &mut text,
            format_args!(
                "# No 'bind' has {vip}: clients are refused there until the file binds it.\n"
            ),
        );
    }
    text.push_str("#\n# A firewall must let VRRP through, IP protocol 112, between the nodes' own addresses:\n");
    for instance in &plan.instances {
        let family = if instance.own.is_ipv4() { "ip" } else { "ip6" };
        for peer in &instance.peers {
            put(
                &mut text,
                format_args!(
                    "#   nft add rule inet filter input {family} saddr {peer} meta l4proto vrrp accept\n"
                ),
            );
        }
    }
    put(
        &mut text,
        format_args!(
            "\
# Where it does not, both nodes take the addresses. Clouds deliver neither VRRP nor an address that
# moves by itself: use their load balancer in front of both nodes there.

global_defs {{
    vrrp_version 3
    # Scripts run as this user, and none as root that another user could change.
    script_user {user}
    enable_script_security
    # An advert that is late because of other work is one that was lost.
    vrrp_priority -20
    vrrp_no_swap
    # Switches and neighbours forget, or were not listening at the first moment.
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 30
}}

# Whether evenkeel itself serves here: it runs, answers, and does not drain. Never about the servers
# behind it: the other node would find the same ones, and every connection would be cut in the move.
vrrp_script evenkeel {{
    script \"{script}\"
    # keepalived counts whole seconds, so the script itself looks every 0.25 s. It asks again for 0.3 s
    # when evenkeel is gone, waits 0.8 s for one that is silent, and 1.2 s for one that restarts under a
    # service manager which keeps its sockets: none of that moves anything. One failure is therefore
    # enough. No weight: failure means that this node has no part in it.
    interval 1
    timeout 3
    fall 1
    rise 2
}}
",
            user = plan.user,
            script = plan.script,
        ),
    );
    for instance in &plan.instances {
        print_instance(&mut text, plan, instance);
    }
    text
}

fn print_instance(text: &mut String, plan: &Plan, instance: &Instance) {
    let name = if instance.own.is_ipv4() {
        "evenkeel"
    } else {
        "evenkeel_ipv6"
    };
    put(
        text,
        format_args!(
            "
vrrp_instance {name} {{
    interface {interface}
    # The same on all nodes of this pair, and nobody else's on this network.
    virtual_router_id {id}
    # Differs between the nodes, so that of two that start together one is first.
    priority {priority}
    # Both nodes start as BACKUP and keep what they have: a node that comes back takes nothing away,
    # and no connection is cut twice. (With a weight on the script, nopreempt would never let go.)
    state BACKUP
    nopreempt
    # A node is dead after three adverts, 0.9 s and less than 0.1 s more. Two lost in a row move nothing.
    advert_int {ADVERT}
    # To the peer alone: others with the same VRID cannot join in, and no switch need know multicast.
    unicast_src_ip {own}
    unicast_peer {{
",
            interface = plan.interface,
            id = plan.router_id,
            priority = plan.priority,
            own = instance.own,
        ),
    );
    for peer in &instance.peers {
        put(text, format_args!("        {peer}\n"));
    }
    text.push_str("    }\n    check_unicast_src\n    virtual_ipaddress {\n");
    for vip in &instance.vips {
        put(text, format_args!("        {vip}\n"));
    }
    text.push_str("    }\n    track_script {\n        evenkeel\n    }\n}\n");
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what)
        .expect("writing to a String does not fail");
}
