//! Lines against those that HAProxy 3.0.11 wrote, and delivery to real receivers.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Instant, SystemTime};

use evenkeel_config::{LogEncoding, LogField, LogFormat, LogItem, LogLine, LogMoment, LogStyle};

use super::*;
use crate::queue::Passed;

fn target(address: LogAddress, format: LogFormat) -> LogTarget {
    LogTarget {
        address,
        max_length: 1024,
        format,
        facility: 16,
        max_level: 7,
        min_level: 0,
        host: LogHost::Nobody,
    }
}

fn receiver() -> (UdpSocket, LogAddress) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let address = LogAddress::Udp(socket.local_addr().unwrap());
    (socket, address)
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// A message to the standard output, as the process writes its own.
fn own(severity: u8, messages: Messages, is_journal: bool, text: &str) -> String {
    let mut line = Vec::new();
    let target = LogTarget {
        max_length: 24,
        ..target(LogAddress::Stdout, LogFormat::Auto)
    };
    frame::own(
        &mut line,
        &target,
        severity,
        7,
        (messages, is_journal),
        text,
    );
    String::from_utf8(line).unwrap()
}

#[test]
fn own_messages_are_lines_or_objects_and_have_a_priority_for_the_journal_alone() {
    assert_eq!(own(1, Messages::Lines, true, "s is DOWN"), "<1>s is DOWN\n");
    assert_eq!(
        shape(&own(1, Messages::Lines, false, "s is DOWN")),
        "99-99-99T99:99:99.99+99:99 ERROR s is DOWN\n"
    );
    let object = own(6, Messages::Objects, false, "a \"b\"");
    let (before, time) = object.split_once(r#""timestamp":""#).unwrap();
    assert_eq!(before, r#"{"level":"info","message":"a \"b\"","pid":7,"#);
    assert!(time.ends_with("\"}\n"), "{object}");
    assert!(own(4, Messages::Objects, true, "x").starts_with(r#"<4>{"level":"warning","#));
    // What is an object already, and what is too long.
    assert_eq!(
        own(6, Messages::Objects, false, r#"{"a": 1}"#),
        "{\"a\": 1}\n"
    );
    let cut = own(6, Messages::Objects, false, &"long".repeat(9));
    assert!(
        cut.contains("\"longlonglonglonglonglon\",") && cut.ends_with("}\n"),
        "{cut}"
    );
}

/// A line with the digits of its date and process id made equal: `Nov  2 20:41:02` and
/// `Dec 24 18:00:00` become `Mon 99 99:99:99`.
fn shape(line: &str) -> String {
    let (priority, rest) = match line.split_once('>') {
        Some((priority, rest)) => (format!("{priority}>"), rest),
        None => (String::new(), line),
    };
    let mut rest = rest.to_owned();
    for month in "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(' ') {
        rest = rest.replace(month, "Mon");
    }
    let rest: String = rest
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    let pid = rest.replace("Mon  9", "Mon 99");
    // Process ids differ in length, offsets in their sign.
    let pid = pid.replace("9-99:99", "9+99:99");
    let mut shaped = String::new();
    let mut run = 0;
    for c in pid.chars() {
        run = if c == '9' { run + 1 } else { 0 };
        if run <= 2 {
            shaped.push(c);
        }
    }
    priority + &shaped
}

#[test]
fn every_format_frames_a_line_as_haproxy_does() {
    let (socket, address) = receiver();
    let logs = Logs::start().unwrap();
    for (format, captured) in [
        (
            LogFormat::Rfc3164,
            "<134>Nov 22 20:41:02 localhost haproxy[9434]: Connect to unix:1 (con/TCP)\n",
        ),
        (
            LogFormat::Local,
            "<134>Nov 22 20:41:02 haproxy[9434]: Connect to unix:1 (con/TCP)\n",
        ),
        (
            LogFormat::Rfc5424,
            "<134>1 2026-11-22T20:41:02.515518+00:00 - haproxy 9434 - - Connect to unix:1 (con/TCP)\n",
        ),
        (LogFormat::Raw, "Connect to unix:1 (con/TCP)\n"),
        (LogFormat::Short, "<6>Connect to unix:1 (con/TCP)\n"),
        (
            LogFormat::Iso,
            "2026-11-22T20:41:02.515535+00:00 Connect to unix:1 (con/TCP)\n",
        ),
        (
            LogFormat::Timed,
            "<6>2026-11-22T20:41:02.515540+00:00 Connect to unix:1 (con/TCP)\n",
        ),
        (LogFormat::Priority, "<134>Connect to unix:1 (con/TCP)\n"),
    ] {
        let sink = logs.sink(&[target(address.clone(), format)], "haproxy");
        sink.send(Level::Info, "Connect to unix:1 (con/TCP)");
        assert_eq!(shape(&receive(&socket)), shape(captured), "{format:?}");
    }
    assert_eq!(logs.dropped(), 0);
}

#[test]
fn a_line_is_cut_at_its_length_line_feed_included() {
    let (socket, address) = receiver();
    let cut = LogTarget {
        max_length: 80,
        ..target(address, LogFormat::Raw)
    };
    let sink = Logs::start().unwrap().sink(&[cut], "haproxy");
    sink.send(Level::Info, &"x".repeat(200));
    assert_eq!(receive(&socket), "x".repeat(79) + "\n");
    sink.send(Level::Info, &"x".repeat(79));
    assert_eq!(receive(&socket), "x".repeat(79) + "\n");
}

#[test]
fn levels_too_mild_are_left_out_and_too_severe_ones_softened() {
    let (socket, address) = receiver();
    let bounded = LogTarget {
        max_level: 5,
        min_level: 4,
        ..target(address, LogFormat::Short)
    };
    let sink = Logs::start().unwrap().sink(&[bounded], "haproxy");
    for level in [
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Emerg,
        Level::Debug,
    ] {
        sink.send(level, &format!("{level:?}"));
    }
    sink.send(Level::Notice, "end");
    let received: Vec<_> = (0..4).map(|_| receive(&socket)).collect();
    assert_eq!(
        received,
        ["<5>Notice\n", "<4>Warning\n", "<4>Emerg\n", "<5>end\n"]
    );
}

#[test]
fn a_log_socket_that_comes_late_or_comes_back_is_found() {
    let directory = std::env::temp_dir().join(format!("evenkeel-log-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("log");
    let _ = std::fs::remove_file(&path);
    let logs = Logs::start().unwrap();
    let sink = logs.sink(
        &[target(LogAddress::Unix(path.clone()), LogFormat::Raw)],
        "haproxy",
    );
    sink.send(Level::Info, "lost");
    assert_eq!(logs.dropped(), 1);
    for round in ["first", "second"] {
        let socket = UnixDatagram::bind(&path).unwrap();
        sink.send(Level::Info, round);
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], format!("{round}\n").as_bytes());
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(logs.dropped(), 1);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_receiver_that_does_not_read_costs_lines_and_no_time() {
    let directory = std::env::temp_dir().join(format!("evenkeel-full-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("log");
    let _ = std::fs::remove_file(&path);
    let _receiver = UnixDatagram::bind(&path).unwrap();
    let logs = Logs::start().unwrap();
    let sink = logs.sink(&[target(LogAddress::Unix(path), LogFormat::Raw)], "haproxy");
    for _ in 0..5000 {
        sink.send(Level::Info, "more than the socket's queue holds");
    }
    let dropped = logs.dropped();
    assert!((1..5000).contains(&dropped), "{dropped} dropped");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_stream_gets_every_line_and_a_stuck_one_holds_up_nobody() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let logs = Logs::start().unwrap();
    let address = LogAddress::Fd(writer.as_raw_fd());
    let sink = logs.sink(&[target(address, LogFormat::Raw)], "haproxy");
    let line = "y".repeat(1000);
    let began = Instant::now();
    // Twice what pipe and buffer hold together.
    for _ in 0..3000 {
        sink.send(Level::Info, &line);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "a full pipe held up the sender"
    );
    let dropped = logs.dropped();
    assert!((1..3000).contains(&dropped), "{dropped} dropped");
    let lines = usize::try_from(3000 - dropped).unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = vec![0; lines * 1001];
        reader.read_exact(&mut text).unwrap();
        text
    });
    assert_eq!(logs.flush(Duration::from_secs(10)), 0, "the pipe is read");
    let text = reading.join().unwrap();
    assert!(
        text.chunks(1001)
            .all(|chunk| chunk[..1000] == *line.as_bytes() && chunk[1000] == b'\n')
    );
    drop(writer);
}

#[test]
fn a_descriptor_that_is_not_open_is_no_reason_to_fail() {
    let logs = Logs::start().unwrap();
    let sink = logs.sink(&[target(LogAddress::Fd(9999), LogFormat::Raw)], "haproxy");
    sink.send(Level::Info, "lost");
    assert_eq!(logs.dropped(), 1);
    assert_eq!(logs.flush(Duration::from_secs(1)), 0);
}

#[test]
fn a_stream_that_nobody_reads_keeps_no_line_from_another_and_its_own_are_counted() {
    let (_unread, stuck) = std::io::pipe().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let logs = Logs::start().unwrap();
    let to = |fd: i32| {
        let target = target(LogAddress::Fd(fd), LogFormat::Raw);
        logs.sink(&[target], "haproxy")
    };
    // The stuck one first: it is full before the other has a line.
    let sink = to(stuck.as_raw_fd());
    let line = "y".repeat(1000);
    for _ in 0..200 {
        sink.send(Level::Info, &line);
    }
    to(writer.as_raw_fd()).send(Level::Info, "arrives");
    let mut text = [0; 8];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"arrives\n");
    assert_eq!(logs.dropped(), 0);
    let lost = logs.flush(Duration::from_millis(10));
    assert!((1..=200).contains(&lost), "{lost} given up");
    assert_eq!(logs.dropped(), lost);
    assert_eq!(logs.flush(Duration::from_secs(10)), 0, "nothing is left");
}

fn record(client: Peer) -> SessionRecord<'static> {
    SessionRecord {
        client,
        accepted: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_380_062_204),
        frontend: "fe",
        backend: "be",
        server: Some("s1"),
        waited: Some(Duration::ZERO),
        passed: Passed::default(),
        connect: Some(Duration::from_micros(400)),
        total: Duration::from_millis(7),
        uploaded: 5,
        bytes: 2,
        end: "--",
        counts: Counts {
            process: 1,
            frontend: 1,
            backend: 0,
            server: 0,
        },
        retries: 0,
        is_redispatched: false,
        goes_on: false,
    }
}

fn session_log(line: Option<LogLine>) -> SessionLog {
    SessionLog {
        targets: Vec::new(),
        format: SessionLogFormat::Tcp,
        line: line.map(Arc::new),
        structured: None,
        skip_normal: false,
        as_soon_as_possible: false,
        errors_apart: false,
        skip_null: false,
        tag: String::new(),
    }
}

/// What a line of one item comes to.
fn item(field: LogField, style: LogStyle, record: &SessionRecord<'_>) -> String {
    line_of(vec![(None, field, style)], LogEncoding::Plain, record)
}

fn line_of(
    items: Vec<(Option<&str>, LogField, LogStyle)>,
    encoding: LogEncoding,
    record: &SessionRecord<'_>,
) -> String {
    let items = items
        .into_iter()
        .map(|(name, field, style)| LogItem::Field {
            field,
            style,
            name: name.map(str::to_owned),
        });
    let line = LogLine {
        text: String::new(),
        encoding,
        items: items.collect(),
        moment: LogMoment::End,
    };
    let details = Details {
        frontend: Some(([192, 0, 2, 1], 6443).into()),
        ..Details::default()
    };
    let mut written = String::new();
    custom::write(&mut written, &line, record, &details, &mut [].iter());
    written
}

/// Each line seen from HAProxy 3.0.
#[test]
fn fields_are_written_as_haproxy_writes_them() {
    let client = record(inet("127.0.0.1:56324"));
    let plain = LogStyle::default();
    let hex = LogStyle { hex: true, ..plain };
    let quote = LogStyle {
        quote: true,
        ..plain
    };
    let table = [
        (LogField::ClientIp, plain, "127.0.0.1"),
        (LogField::ClientIp, hex, "7F000001"),
        (LogField::ClientIp, quote, "\"127.0.0.1\""),
        (LogField::ClientPort, hex, "DC04"),
        (LogField::FrontendIp, plain, "192.0.2.1"),
        (LogField::FrontendPort, plain, "6443"),
        (LogField::ServerIp, plain, "-"),
        (LogField::BackendPort, hex, "-"),
        (LogField::Backend, quote, "\"be\""),
        (LogField::Server, plain, "s1"),
        (LogField::Nothing("-"), plain, "-"),
        (LogField::Nothing("-"), quote, "\"\""),
        (LogField::Nothing("<BADREQ>"), quote, "\"<BADREQ>\""),
        (LogField::Nothing("-1"), quote, "-1"),
        (LogField::WaitTime, plain, "1"),
        (LogField::ConnectTime, plain, "0"),
        (LogField::DataTime, plain, "6"),
        (LogField::TotalTime, quote, "7"),
        (LogField::BytesToClient, hex, "2"),
        (LogField::BytesFromClient, plain, "5"),
        (LogField::Millis, plain, "204"),
        (LogField::Timestamp, hex, "6B03535E"),
        (LogField::End, quote, "--"),
        (LogField::EndAndCookies, plain, "----"),
    ];
    for (field, style, expected) in table {
        assert_eq!(
            item(field.clone(), style, &client),
            expected,
            "{field:?} {style:?}"
        );
    }
    let running = SessionRecord {
        goes_on: true,
        retries: 1,
        is_redispatched: true,
        ..record(inet("127.0.0.1:1"))
    };
    assert_eq!(item(LogField::BytesToClient, plain, &running), "+2");
    assert_eq!(item(LogField::TotalTime, plain, &running), "+7");
    assert_eq!(item(LogField::Retries, plain, &running), "+1");
}

#[test]
fn a_line_never_holds_what_a_terminal_would_obey() {
    let escape = LogStyle {
        escape: true,
        ..LogStyle::default()
    };
    let odd = SessionRecord {
        frontend: "a#\u{1b}[m]\"b",
        ..record(inet("127.0.0.1:1"))
    };
    assert_eq!(
        item(LogField::Frontend, LogStyle::default(), &odd),
        "a##1B[m]\"b"
    );
    assert_eq!(item(LogField::Frontend, escape, &odd), "a##1B[m\\]\\\"b");
}

#[test]
fn as_json_a_line_is_an_object_of_what_has_a_name() {
    let plain = LogStyle::default();
    let items = vec![
        (Some("client"), LogField::ClientIp, plain),
        (None, LogField::Backend, plain),
        (Some("total"), LogField::TotalTime, plain),
        (Some("id"), LogField::Nothing("-"), plain),
    ];
    let record = SessionRecord {
        goes_on: true,
        ..record(inet("127.0.0.1:1"))
    };
    assert_eq!(
        line_of(items, LogEncoding::Json, &record),
        "{\"client\": \"127.0.0.1\", \"total\": 7, \"id\": \"\"}"
    );
}

fn inet(address: &str) -> Peer {
    Peer::Inet(address.parse::<SocketAddr>().unwrap())
}

/// The line, its date (which depends on the zone) left out.
fn tcplog(record: &SessionRecord<'_>) -> String {
    let mut line = String::new();
    record.write_tcplog(&mut line);
    let (client, rest) = line.split_once(" [").unwrap();
    let (date, rest) = rest.split_once("] ").unwrap();
    assert!(
        date.ends_with(".204") && date.len() == "22/Nov/2026:20:41:02.204".len(),
        "{date}"
    );
    format!("{client} [] {rest}")
}

#[test]
fn a_session_is_told_as_haproxy_tells_it() {
    // Captured: each with its date taken out.
    for (peer, captured) in [
        (
            inet("127.0.0.1:40722"),
            "127.0.0.1:40722 [] fe be/s1 1/0/7 2 -- 1/1/0/0/0 0/0",
        ),
        (
            inet("[::1]:44820"),
            "::1:44820 [] fe be/s1 1/0/7 2 -- 1/1/0/0/0 0/0",
        ),
        (
            inet("[::ffff:127.0.0.1]:60516"),
            "::ffff:127.0.0.1:60516 [] fe be/s1 1/0/7 2 -- 1/1/0/0/0 0/0",
        ),
        (
            Peer::new(None, 3),
            "unix:3 [] fe be/s1 1/0/7 2 -- 1/1/0/0/0 0/0",
        ),
    ] {
        assert_eq!(tcplog(&record(peer)), captured);
    }
    let refused = SessionRecord {
        waited: Some(Duration::from_millis(802)),
        connect: None,
        bytes: 0,
        end: "SC",
        retries: 3,
        is_redispatched: true,
        ..record(inet("127.0.0.1:60516"))
    };
    assert_eq!(
        tcplog(&refused),
        "127.0.0.1:60516 [] fe be/s1 803/-1/7 0 SC 1/1/0/0/+3 0/0"
    );
    let gave_up_waiting = SessionRecord {
        server: None,
        end: "sQ",
        retries: 0,
        is_redispatched: false,
        passed: Passed {
            server: 2,
            backend: 3,
        },
        ..record(inet("127.0.0.1:60516"))
    };
    assert_eq!(
        tcplog(&SessionRecord {
            waited: Some(Duration::from_millis(802)),
            connect: None,
            ..gave_up_waiting
        }),
        "127.0.0.1:60516 [] fe be/<NOSRV> 803/-1/7 2 sQ 1/1/0/0/0 2/3"
    );
    let unserved = SessionRecord {
        server: None,
        waited: None,
        retries: 0,
        is_redispatched: false,
        ..refused
    };
    assert_eq!(
        tcplog(&unserved),
        "127.0.0.1:60516 [] fe be/<NOSRV> -1/-1/7 0 SC 1/1/0/0/0 0/0"
    );
}

#[test]
fn a_session_in_common_log_format() {
    let mut line = String::new();
    record(inet("127.0.0.1:37270")).write_clf(&mut line);
    assert_eq!(
        line,
        "127.0.0.1 - - [22/Nov/2026:20:41:02 +0000] \"TCP \" 000 2 \"\" \"\" 37270 204 \
         \"fe\" \"be\" \"s1\" 0 1 0 7 5 ---- 1 1 0 0 0 0 0 \"\" \"\" \"\""
    );
    line.clear();
    record(Peer::new(None, 1)).write_clf(&mut line);
    assert!(
        line.starts_with("unix - - [") && line.contains(" \"\" \"\" 1 204 \"fe\""),
        "{line}"
    );
}

#[test]
fn a_session_reaches_the_receiver_as_one_line_of_level_info() {
    let (socket, address) = receiver();
    let sink = Logs::start()
        .unwrap()
        .sink(&[target(address, LogFormat::Priority)], "haproxy");
    let record = record(inet("127.0.0.1:40722"));
    sink.session(
        &session_log(None),
        Level::Info,
        &record,
        &Details::default(),
    );
    let line = receive(&socket);
    assert!(line.starts_with("<134>127.0.0.1:40722 ["), "{line}");
    assert!(
        line.ends_with("] fe be/s1 1/0/7 2 -- 1/1/0/0/0 0/0\n"),
        "{line}"
    );
}

#[test]
fn an_accept_is_told_as_haproxy_tells_it() {
    let line = |client: &str, local: &str| {
        connect_line(client.parse().ok(), local.parse().ok(), 1, "con", "TCP")
    };
    assert_eq!(
        line("127.0.0.1:36684", "127.0.0.1:43281"),
        "Connect from 127.0.0.1:36684 to 127.0.0.1:43281 (con/TCP)"
    );
    assert_eq!(
        line("[::1]:38268", "[::1]:44143"),
        "Connect from ::1:38268 to ::1:44143 (con/TCP)"
    );
    assert_eq!(
        line("[::ffff:127.0.0.1]:36220", "[::ffff:127.0.0.1]:46031"),
        "Connect from ::ffff:127.0.0.1:36220 to ::ffff:127.0.0.1:46031 (con/TCP)"
    );
    assert_eq!(line("", ""), "Connect to unix:1 (con/TCP)");
}

#[test]
fn servers_and_proxies_change_in_haproxys_words() {
    assert_eq!(
        no_server_available("backend", "be"),
        "backend be has no server available!"
    );
    assert_eq!(
        proxy_stopped("fe", 3, 0),
        "Proxy fe stopped (cumulated conns: FE: 3, BE: 0)."
    );
}
