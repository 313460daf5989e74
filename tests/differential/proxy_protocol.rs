//! The PROXY protocol in both directions: which bytes servers are sent, and what is made of those
//! that clients send.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use crate::compare::same;
use crate::support::balancer::temporary_directory;
use crate::support::loopback::free_tcp;
use crate::support::{End, Peer, until};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What differs from one run to the next, taken out of a header.
fn mask(header: &[u8], client: SocketAddr, front: SocketAddr) -> String {
    let mut header = header.to_vec();
    if let Some(at) = header.windows(7).position(|bytes| bytes[..3] == [3, 0, 4]) {
        // The checksum of what is masked.
        header[at + 3..at + 7].fill(0);
    }
    if header.starts_with(SIGNATURE) && header[12] == 0x21 {
        let ends = if client.is_ipv4() { 16..24 } else { 16..48 };
        let ports = ends.end..ends.end + 4;
        let expected = [client.port().to_be_bytes(), front.port().to_be_bytes()].concat();
        assert_eq!(header[ports.clone()], expected);
        header[ends.start..ports.end].fill(b'.');
    }
    let text = header.escape_ascii().to_string();
    text.replace(&client.ip().to_string(), "CLIENT")
        .replace(&front.ip().to_string(), "FRONT")
        .replace(&client.port().to_string(), "PORT")
        .replace(&front.port().to_string(), "FRONTPORT")
}

/// Everything that a server is sent by a client that says `hello`.
fn sent(mut peer: impl Read + Write) -> Vec<u8> {
    peer.write_all(b"hello").unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"hello") {
        peer.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    seen
}

#[test]
fn servers_are_sent_the_same_bytes() {
    for options in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy send-proxy-v2",
        "send-proxy-v2-ssl",
        "send-proxy-v2-ssl-cn",
        "send-proxy-v2 proxy-v2-options crc32c",
        "send-proxy-v2 proxy-v2-options ssl,cert-cn,authority,crc32c",
        "send-proxy proxy-v2-options crc32c",
    ] {
        let seen = same(options, |lab| {
            let echo = lab.echo();
            let directory = temporary_directory();
            let unix = directory.join("front.sock");
            let fronts = [lab.address(), free_tcp("::1".parse().unwrap())];
            let _lb = lab.start(&format!(
                "{preamble}
listen api
    bind {four}
    bind [::1]:{six}
    bind {unix}
    server s {echo} {options}
",
                preamble = lab.preamble(),
                four = fronts[0],
                six = fronts[1].port(),
                unix = unix.display(),
                echo = echo.address(),
            ));
            let mut seen: Vec<String> = fronts
                .iter()
                .map(|front| {
                    let peer = Peer::connect(*front);
                    let client = peer.address();
                    mask(&sent(peer.into_stream()), client, *front)
                })
                .collect();
            let stream = UnixStream::connect(&unix).unwrap();
            seen.push(sent(stream).escape_ascii().to_string());
            std::fs::remove_dir_all(directory).unwrap();
            seen
        });
        if let Some(seen) = seen {
            assert!(seen.iter().all(|header| header.len() > 15), "{seen:?}");
        }
    }
}

#[test]
fn checks_send_the_same_bytes() {
    for options in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 port PORT",
        "send-proxy-v2 port PORT check-send-proxy",
        "check-send-proxy",
        "send-proxy-v2-ssl proxy-v2-options crc32c",
    ] {
        let seen = same(&format!("checks, {options}"), |lab| {
            let (told, heard) = std::sync::mpsc::channel();
            let told = std::sync::Mutex::new(told);
            let origin = lab.serving(move |peer| {
                let mut stream = peer.into_stream();
                let (Ok(client), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else {
                    return;
                };
                let (mut all, mut buffer) = (Vec::new(), [0; 256]);
                let request = loop {
                    match stream.read(&mut buffer) {
                        Ok(length @ 1..) => all.extend(&buffer[..length]),
                        _ => return,
                    }
                    // It waits for an answer: nothing is reset before it is read.
                    let start = all.windows(7).position(|bytes| bytes == b"OPTIONS");
                    if let Some(start) = start {
                        break start;
                    }
                };
                // The test may be over.
                let _ = told
                    .lock()
                    .unwrap()
                    .send(mask(&all[..request], client, own));
            });
            let options = options.replace("PORT", &origin.address().port().to_string());
            let front = lab.address();
            let lb = lab.start(&format!(
                "{preamble}
listen api
    bind {front}
    option httpchk
    server s {origin} check inter 200ms {options}
",
                preamble = lab.preamble(),
                origin = origin.address(),
            ));
            let header = heard.recv_timeout(crate::support::PATIENCE).unwrap();
            drop(lb);
            header
        });
        let Some(header) = seen else { return };
        assert_eq!(
            header.is_empty(),
            options == "send-proxy-v2 port PORT",
            "{options}"
        );
    }
}

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20 | command, family, 0, body.len() as u8]);
    header.extend(body);
    header
}

/// Headers that both understand, or refuse, alike.
fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 111, 0, 222];
    let six: Vec<u8> = (0..16).chain(16..32).chain([0, 111, 0, 222]).collect();
    let with = |field: &[u8]| [&four[..], field].concat();
    vec![
        ("v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\n".to_vec()),
        (
            "v1 IPv6",
            b"PROXY TCP6 2001::1 2001::2 111 222\r\n".to_vec(),
        ),
        (
            "v1 mapped",
            b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 111 222\r\n".to_vec(),
        ),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        (
            "v1 other protocol",
            b"PROXY UDP4 1.2.3.4 5.6.7.8 111 222\r\n".to_vec(),
        ),
        ("v1 too short", b"PROXY TCP4 1.2.3.4\r\n".to_vec()),
        (
            "v1 line feed",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222\n".to_vec(),
        ),
        (
            "v1 space",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222 \r\n".to_vec(),
        ),
        ("none", b"GET / HTTP/1.0\r\nHost: x\r\n\r\n".to_vec()),
        ("v2", binary(1, 0x11, &four)),
        ("v2 IPv6", binary(1, 0x21, &six)),
        ("v2 local", binary(0, 0, b"")),
        ("v2 field", binary(1, 0x11, &with(b"\x05\0\x02ab"))),
        ("v2 short", binary(1, 0x11, &four[..8])),
        ("v2 family", binary(1, 0x41, &four)),
        ("v2 command", binary(2, 0x11, &four)),
    ]
}

#[test]
fn what_clients_send_is_understood_alike() {
    for log in ["option tcplog", "no log-format", "option dontlognull"] {
        let option = if log == "no log-format" { "" } else { log };
        let seen = same(&format!("headers received, {log}"), |lab| {
            let echo = lab.echo();
            let front = lab.address();
            let _lb = lab.start(&format!(
                "{preamble}
listen api
    {option}
    timeout client 1s
    bind {front} accept-proxy name front
    server s {echo} send-proxy
",
                preamble = lab.preamble(),
                echo = echo.address(),
            ));
            let mut seen = Vec::new();
            for (count, (name, header)) in (1..).zip(headers()) {
                let mut peer = Peer::connect(front);
                let client = peer.address();
                peer.send([&header[..], b"hello\n"].concat());
                let onward = peer.receive_line();
                if !onward.is_empty() {
                    assert_eq!(peer.receive_line(), "hello");
                }
                drop(peer);
                let logged = until("it is logged", || {
                    let all = lab.syslog.all();
                    let own = all.iter().filter(|m| m.text.contains(" api"));
                    own.map(|m| (m.level, m.text.clone())).nth(count - 1)
                });
                let (level, text) = logged;
                let (who, rest_of_line) = text.split_once(" [").unwrap();
                let what = rest_of_line.split_once("] ").unwrap().1.to_owned();
                // Times, bytes and counts are compared elsewhere.
                let words = what
                    .split(' ')
                    .filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
                let what = words.collect::<Vec<_>>().join(" ");
                let own = format!("{}:{}", client.ip(), client.port());
                let onward = onward
                    .replace(&client.ip().to_string(), "CLIENT")
                    .replace(&client.port().to_string(), "PORT")
                    .replace(&front.ip().to_string(), "FRONT")
                    .replace(&front.port().to_string(), "FRONTPORT");
                seen.push((name, onward, level, who.replace(&own, "CLIENT"), what));
            }
            seen
        });
        if let Some(seen) = seen {
            assert_eq!(seen[0].1, "PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r");
            assert_eq!(seen[0].3, "1.2.3.4:111");
            assert!(
                seen[8].4.ends_with(
                    "Received something which does not look like a PROXY protocol header"
                )
            );
        }
    }
}

#[test]
fn clients_that_send_nothing_are_told_of_alike() {
    for option in ["option tcplog", "option dontlognull"] {
        let seen = same(&format!("no header, {option}"), |lab| {
            let origin = lab.origin("a");
            let front = lab.address();
            let _lb = lab.start(&format!(
                "{preamble}
listen api
    {option}
    timeout client 700ms
    bind {front} accept-proxy
    server s {origin}
",
                preamble = lab.preamble(),
                origin = origin.address(),
            ));
            let mut waits = Peer::connect(front);
            let end = waits.end();
            Peer::connect(front).close();
            let mut last = Peer::connect(front);
            last.send("PROXY UNKNOWN\r\nx");
            last.receive_line();
            last.close();
            lab.syslog.session();
            let all = lab.syslog.all();
            let refused = all
                .iter()
                .filter(|message| message.text.contains("] api/1: "));
            let refused = refused.map(|m| m.text.split_once("] ").unwrap().1.to_owned());
            (end, refused.collect::<Vec<_>>())
        });
        if let Some((end, refused)) = seen {
            assert_eq!(end, End::Closed);
            let count = if option == "option tcplog" { 2 } else { 0 };
            assert_eq!(refused.len(), count, "{refused:?}");
        }
    }
}
