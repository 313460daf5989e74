//! Mistakes in what does nothing here, and forms that HAProxy 3.0 takes with a warning.

use super::{TIMEOUTS, check, config};

#[test]
fn sections_that_are_read_over_are_judged() {
    for (section, expected) in [
        (
            "peers p\n foo 1\n",
            "2:2: unknown keyword 'foo' in 'peers' section; it is one of bind, default-bind, default-server, disabled, enabled, log, peer, server, shards, table",
        ),
        (
            "peers p\n peerr a 1.1.1.1:1\n",
            "2:2: unknown keyword 'peerr' in 'peers' section; did you mean 'peer'?",
        ),
        (
            "peers p\n peer a\n",
            "2:2: 'peer' needs a name and an address, such as: peer lb1 192.0.2.1:1024",
        ),
        (
            "mailers m\n mailer a\n",
            "2:2: 'mailer' needs a name and an address, such as: mailer smtp1 192.0.2.1:25",
        ),
        ("mailers\n", "1:1: 'mailers' needs a name after it"),
        (
            "userlist u\n user a insecure-password b groups g\n",
            "2:36: there is no group 'g' in this userlist; add 'group g'",
        ),
    ] {
        let mut lines = vec![expected.to_owned()];
        if let Some(name) = section.split(' ').next().filter(|name| *name != "userlist") {
            let reason = match name {
                "peers" => "stick tables are not kept, so there is nothing to share",
                _ => "no mail is sent; alert on the metrics",
            };
            let name = name.trim();
            lines.insert(
                0,
                format!("1:1: warning: section '{name}' has no effect: {reason}"),
            );
        }
        lines.sort();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(section, &lines);
    }
    config(&format!(
        "{TIMEOUTS}userlist u\n user a insecure-password b groups g,h\n group g\n group h users a\ncrt-store\n crt-base /tmp\nlisten f\n bind :1\n"
    ));
}

#[test]
fn values_of_keywords_without_effect_are_judged() {
    for (line, expected) in [
        (
            " errorfile 599 /dev/null\n",
            "6:12: 'errorfile': status '599' has no page of its own; those that have are 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504",
        ),
        (
            " errorfiles pages\n",
            "6:13: there is no 'http-errors' section 'pages'",
        ),
        (
            " email-alert level loud\n",
            "6:20: unknown log level 'loud'; it is one of emerg, alert, crit, err, warning, notice, info, debug",
        ),
        (
            "global\n default-path nowhere\n",
            "7:15: unknown default-path 'nowhere'; it is one of current, config, parent, origin",
        ),
        (
            "global\n ssl-default-bind-options no-sslv4\n",
            "7:27: 'ssl-default-bind-options' has no option 'no-sslv4'; did you mean 'no-sslv3'?",
        ),
        (
            "global\n tune.ssl.default-dh-param 10\n",
            "7:28: 'tune.ssl.default-dh-param' must be at least 1024, not 10",
        ),
        (
            "global\n tune.bufsize big\n",
            "7:15: 'tune.bufsize' needs a number, not 'big'",
        ),
        (
            "global\n node \"lb 1\"\n",
            "7:7: 'node' needs a name of letters, digits and . - _, not 'lb 1'",
        ),
        (
            "backend b\n stick-table type ipp size 1k\n",
            "7:19: unknown type 'ipp' of a stick-table; did you mean 'ip'?",
        ),
        (
            "backend b\n default_backend b\n",
            "7:18: 'default_backend' leads back to 'b' itself; remove the line",
        ),
        (
            "listen b\n bind :1\n default_backend b\n",
            "8:18: proxy 'b' leads back to itself; remove the line",
        ),
    ] {
        check(&format!("{TIMEOUTS}{line}"), &[expected]);
    }
}

#[test]
fn more_behind_the_unit_of_a_time_is_told() {
    check(
        &format!("{TIMEOUTS}listen f\n bind :1\n timeout client 10sec\n"),
        &[
            "8:17: warning: 'timeout client': unknown unit 'sec' in time '10sec'; the units are us, ms, s, m, h and d; '10s' is taken, write that",
        ],
    );
}

#[test]
fn what_balance_takes_the_place_of_is_told() {
    check(
        &format!("{TIMEOUTS}listen f\n bind :1\n balance roundrobin\n dispatch 1.1.1.1:1\n"),
        &["9:2: warning: dispatch address of proxy 'f' will be ignored in balance mode"],
    );
    check(
        &format!("{TIMEOUTS}listen f\n bind :1\n dispatch 1.1.1.1:1\n"),
        &["8:2: 'dispatch' is not supported: use a 'server' line"],
    );
}

#[test]
fn an_empty_word_ends_the_options() {
    check(
        &format!("{TIMEOUTS}listen f\n bind :1\n server s 1.1.1.1:1 \"\" check\n"),
        &[
            "8:21: warning: an empty word ends the options of a 'server' line, as in HAProxy: what stands behind it does not count; leave the quotes out, or give the variable in them a value",
        ],
    );
}

#[test]
fn a_line_has_sixty_four_words() {
    let line = |count: usize| {
        format!(
            "{TIMEOUTS}frontend f\n bind :1\n acl a src {}\n",
            vec!["1.1.1.1"; count].join(" ")
        )
    };
    config(&line(61));
    check(
        &line(62),
        &["8:500: a line has at most 64 words, and '1.1.1.1' is one more; say it in several lines"],
    );
}

#[test]
fn a_frontend_in_mode_http_does_not_lead_to_tcp() {
    check(
        &format!(
            "{TIMEOUTS}frontend f\n bind :1\n mode http\n default_backend b\nbackend b\n server s 1.1.1.1:1\n"
        ),
        &[
            "9:18: frontend 'f' is in mode http (set in line 8) and its backend 'b' in mode tcp; write 'mode tcp' in both",
        ],
    );
}

#[test]
fn an_operator_before_a_range_counts_for_nothing() {
    config(&format!(
        "{TIMEOUTS}frontend f\n bind :1\n acl a dst_port gt 5:7\n"
    ));
}

#[test]
fn what_was_copied_from_elsewhere_is_told() {
    for (text, expected) in [
        (
            "\u{feff}global\n maxconn 5\n",
            "1:1: the file begins with a byte order mark, which HAProxy refuses, too; save it as UTF-8 without one",
        ),
        (
            "global\r maxconn 5\r",
            "1:1: every line ends with a carriage return alone, so that the file is one line; end lines with a line feed",
        ),
        (
            "<global>\n maxconn 5\n log x\n",
            "1:1: keyword '<global>' outside of any section; did you mean 'global'?",
        ),
        (
            "maxconn 5\nlog x\n",
            "1:1: keyword 'maxconn' outside of any section; begin one with 'global' or 'listen NAME'",
        ),
        (
            "global\n timeout connect 5s\n",
            "2:2: unknown keyword 'timeout' in 'global' section; it belongs to defaults, listen, backend",
        ),
        (
            "defaults\n chroot /tmp\n",
            "2:2: unknown keyword 'chroot' in 'defaults' section; it belongs to global",
        ),
        (
            "global\n...\n",
            "2:1: unknown directive '...'; it stands for lines that were left out, remove it",
        ),
        (
            "global\n {% if x %}\n",
            "2:2: unknown keyword '{%' in 'global' section; it is part of a template, which is to be filled in first",
        ),
        (
            "global\n MAXCONN 5\n",
            "2:2: unknown keyword 'MAXCONN' in 'global' section; did you mean 'maxconn'?",
        ),
    ] {
        check(text, &[expected]);
    }
    for (words, expected) in [
        (
            "https://10.0.0.1:6443",
            "7:11: server 's': 'https://10.0.0.1' is not an IPv6 address in 'https://10.0.0.1:6443'; it is a URL, write HOST:PORT",
        ),
        (
            "10.0.0.256:6443",
            "7:11: server 's': '10.0.0.256' is not an IPv4 address in '10.0.0.256:6443': each of its numbers is 0 to 255",
        ),
        (
            "10.0.0.1 6443",
            "7:20: unknown server option '6443'; a port follows its address behind a colon, as in 10.0.1.11:6443",
        ),
        (
            "10.0.0.1:1 weight “10”",
            "7:29: 'weight' needs a whole number, not '“10”'; '“' is not the character of programs, write \"",
        ),
        (
            "10.0.0.1:1 –weight 1",
            "7:22: unknown server option '–weight'; did you mean 'weight'?",
        ),
        (
            "10.0.0.1:1 \\",
            "7:22: unknown server option '\\'; lines are not continued by a backslash, write all of it in one line",
        ),
    ] {
        check(
            &format!("{TIMEOUTS}backend b\n server s {words}\n"),
            &[expected],
        );
    }
}
