//! The pickers against what HAProxy chose, and against what must hold for any history.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// HAProxy tries a connection so often: once, and `retries 3`.
const ATTEMPTS: usize = 4;

#[test]
fn chooses_as_haproxy_chose() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/balance");
    let files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|file| file.unwrap().path())
        .collect();
    for algorithm in ["roundrobin", "leastconn", "source"] {
        let is_there = |path: &&std::path::PathBuf| path.ends_with(format!("{algorithm}.txt"));
        assert!(
            files.iter().any(|path| is_there(&path)),
            "no vectors for {algorithm}"
        );
    }
    let mut failures = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(
            lines.len() >= 50,
            "{}: {} vectors only",
            path.display(),
            lines.len()
        );
        let differ = lines.iter().filter_map(|line| replay(line).err());
        failures.extend(differ.map(|why| format!("{}: {why}", path.display())));
    }
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Replays one line of a vector file; the file's header says what its words mean.
fn replay(line: &str) -> Result<(), String> {
    let (setup, events) = line.split_once(" | ").expect("a vector has events");
    let words: Vec<_> = setup.split(' ').collect();
    let balance = match words[0] {
        "roundrobin" => Balance::RoundRobin,
        "leastconn" => Balance::LeastConn,
        "source" => Balance::Source,
        other => panic!("unknown balance {other}"),
    };
    let specs: Vec<_> = words[words.len() - 1].split(',').collect();
    let entries: Vec<_> = specs
        .iter()
        .map(|spec| Entry {
            weight: spec.trim_end_matches(['b', 'd', 'x']).parse().unwrap(),
            backup: spec.contains('b'),
            usable: !spec.contains('d'),
            full: false,
        })
        .collect();
    let refuses: Vec<_> = specs.iter().map(|spec| spec.contains('x')).collect();
    let mut picker = Picker::new(balance, &entries, words.contains(&"allbackups"));
    for (number, event) in events.split(' ').enumerate() {
        let index = |digits: &str| digits.parse::<usize>().unwrap();
        match event.split_at(1) {
            ("d", server) => picker.set_usable(index(server), false),
            ("u", server) => picker.set_usable(index(server), true),
            ("c", server) => picker.closed(index(server)),
            ("w", change) => {
                let (server, weight) = change.split_once(':').unwrap();
                picker.set_weight(index(server), weight.parse().unwrap());
            }
            _ => {
                let (client, expected) = event.split_once('=').unwrap_or(("?", event));
                let chosen = connect(&mut picker, client.parse().ok(), &refuses);
                let expected = if expected.contains(':') {
                    expected.into()
                } else {
                    format!("{expected}:")
                };
                if !chosen.starts_with(&expected) {
                    return Err(format!(
                        "{setup}: event {number}: {expected} but we {chosen}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// One connection with `option redispatch`, told as a vector has it; it stays open.
fn connect(picker: &mut Picker, client: Option<IpAddr>, refuses: &[bool]) -> String {
    let mut picks = vec![0; refuses.len()];
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let Some(chosen) = picker.pick(client, failed) else {
            break;
        };
        picks[chosen] += 1;
        picker.opened(chosen);
        if !refuses[chosen] {
            return format!("{chosen}:{}", digits(&picks));
        }
        picker.closed(chosen);
        failed = Some(chosen);
    }
    format!("-:{}", digits(&picks))
}

fn digits(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect()
}

#[derive(Clone, Debug)]
enum Event {
    Pick { avoid: Option<usize> },
    Usable(usize, bool),
    Weight(usize, u16),
    CloseOldest,
}

fn event(servers: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => proptest::option::weighted(0.2, 0..servers).prop_map(|avoid| Event::Pick { avoid }),
        1 => (0..servers, any::<bool>()).prop_map(|(server, up)| Event::Usable(server, up)),
        1 => (0..servers, 0_u16..=256).prop_map(|(server, weight)| Event::Weight(server, weight)),
        2 => Just(Event::CloseOldest),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (
        0_u16..=256,
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.8),
    )
        .prop_map(|(weight, backup, usable)| Entry {
            weight,
            backup,
            usable,
            full: false,
        });
    proptest::collection::vec(entry, 1..12)
}

fn any_balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::RoundRobin),
        Just(Balance::LeastConn),
        Just(Balance::Source)
    ]
}

/// Applies what is no pick, to the picker and to the test's own book.
fn apply(event: &Event, picker: &mut Picker, book: &mut [Entry], open: &mut Vec<usize>) {
    match *event {
        Event::Pick { .. } => {}
        Event::Usable(server, usable) => {
            book[server].usable = usable;
            picker.set_usable(server, usable);
        }
        Event::Weight(server, weight) => {
            book[server].weight = weight;
            picker.set_weight(server, weight);
        }
        Event::CloseOldest if open.is_empty() => {}
        Event::CloseOldest => picker.closed(open.remove(0)),
    }
}

proptest! {
    /// Whatever happened before, the choice is one that may be made, and none only if there is
    /// none; the sums are those of the servers that can be chosen.
    #[test]
    fn never_chooses_a_server_that_cannot_serve(
        balance in any_balance(),
        all_backups in any::<bool>(),
        (start, events) in entries().prop_flat_map(|start| {
            let events = proptest::collection::vec(event(start.len()), 0..200);
            (Just(start), events)
        }),
    ) {
        let mut picker = Picker::new(balance, &start, all_backups);
        let mut book = start;
        let mut open = Vec::new();
        for event in &events {
            apply(event, &mut picker, &mut book, &mut open);
            let kind = |backup| book.iter().filter(move |e| e.share() > 0 && e.backup == backup);
            prop_assert_eq!(picker.active_servers() as usize, kind(false).count());
            prop_assert_eq!(picker.backup_servers() as usize, kind(true).count());
            let on_backup = kind(false).count() == 0;
            let single = on_backup && !all_backups;
            let sharing: Vec<_> = (0..book.len())
                .filter(|&i| book[i].share() > 0 && book[i].backup == on_backup)
                .take(if single { 1 } else { usize::MAX })
                .collect();
            let weight: u32 = sharing.iter().map(|&i| u32::from(book[i].weight)).sum();
            prop_assert_eq!(picker.total_weight(), weight);
            for (index, entry) in book.iter().enumerate() {
                prop_assert_eq!(picker.is_candidate(index), entry.share() > 0);
                let others = sharing.iter().any(|&other| other != index);
                prop_assert_eq!(picker.has_other(index), others);
            }
            let Event::Pick { avoid } = *event else { continue };
            let chosen = picker.pick(None, avoid);
            prop_assert_eq!(chosen.is_none(), sharing.is_empty());
            if let Some(chosen) = chosen {
                prop_assert!(sharing.contains(&chosen), "{chosen} of {sharing:?}");
                if avoid == Some(chosen) {
                    prop_assert_eq!(sharing, vec![chosen]);
                }
                picker.opened(chosen);
                open.push(chosen);
            }
        }
    }

    /// After any history, once every server had its place in a new round, the turns of a whole
    /// round are shared exactly by weight.
    #[test]
    fn round_robin_honours_weights_after_any_history(
        (start, events) in entries().prop_flat_map(|start| {
            let events = proptest::collection::vec(event(start.len()), 0..60);
            (Just(start), events)
        }),
    ) {
        let start: Vec<_> = start.into_iter().map(|e| Entry { backup: false, ..e }).collect();
        let mut picker = Picker::new(Balance::RoundRobin, &start, false);
        let mut book = start;
        for event in &events {
            apply(event, &mut picker, &mut book, &mut Vec::new());
            if let Event::Pick { avoid } = *event {
                picker.pick(None, avoid);
            }
        }
        let total: usize = book.iter().map(|e| usize::from(e.share())).sum();
        // Two rounds of sixteen turns per weight: the one that is under way, and another since
        // weights that changed within it may still show in who is left over.
        for _ in 0..32 * total {
            picker.pick(None, None);
        }
        let mut counts = vec![0_usize; book.len()];
        for _ in 0..16 * total {
            counts[picker.pick(None, None).unwrap()] += 1;
        }
        for (entry, count) in book.iter().zip(counts) {
            let due = 16 * usize::from(entry.share());
            prop_assert!(count.abs_diff(due) <= 16, "{count} turns instead of {due}");
        }
    }
}

#[test]
fn source_keeps_a_client_on_its_server_and_spreads_clients() {
    let entries = [Entry {
        weight: 1,
        backup: false,
        usable: true,
        full: false,
    }; 3];
    let mut picker = Picker::new(Balance::Source, &entries, false);
    let clients: Vec<IpAddr> = (0..30)
        .map(|n| format!("10.1.2.{n}").parse().unwrap())
        .collect();
    let mut first = Vec::new();
    for &client in &clients {
        first.push(picker.pick(Some(client), None));
    }
    for (&client, &server) in clients.iter().zip(&first) {
        assert_eq!(
            picker.pick(Some(client), server),
            server,
            "avoid moves no pinned client"
        );
    }
    for server in 0..3 {
        assert_eq!(
            first
                .iter()
                .filter(|&&chosen| chosen == Some(server))
                .count(),
            10
        );
    }
}

#[test]
fn ten_thousand_servers_cost_little_per_pick() {
    let entries = [Entry {
        weight: 100,
        backup: false,
        usable: true,
        full: false,
    }; 10_000];
    for balance in [Balance::RoundRobin, Balance::LeastConn] {
        let mut picker = Picker::new(balance, &entries, false);
        let mut counts = vec![0_u32; entries.len()];
        for _ in 0..30_000 {
            let chosen = picker.pick(None, None).unwrap();
            picker.opened(chosen);
            counts[chosen] += 1;
        }
        assert!(
            counts.iter().all(|&count| count == 3),
            "equal servers share equally"
        );
    }
}
