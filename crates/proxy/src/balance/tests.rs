//! The pickers against what HAProxy chose, and against what must hold for any history.

use std::net::SocketAddr;
use std::path::Path;

use evenkeel_config::{HashFunction, HashMethod, NodeKey, ServerAddress};
use fastrand::Rng;
use proptest::prelude::*;

use super::*;

/// HAProxy tries a connection so often: once, and `retries 3`.
const ATTEMPTS: usize = 4;

const FILES: &[&str] = &[
    "bounded",
    "consistent",
    "first",
    "hash-key",
    "leastconn",
    "leastconn-full",
    "map-based",
    "other-versions",
    "roundrobin",
    "roundrobin-full",
    "source",
    "static-rr",
];

#[test]
fn chooses_as_haproxy_chose() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/balance");
    let mut failures = Vec::new();
    for name in FILES {
        let path = directory.join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(
            lines.len() >= if *name == "other-versions" { 11 } else { 50 },
            "{}: {} vectors only",
            path.display(),
            lines.len()
        );
        let differ = lines.iter().filter_map(|line| replay(line).err());
        failures.extend(differ.map(|why| format!("{name}: {why}")));
    }
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Both the servers of a vector, and what becomes of them while it is replayed.
struct Scene {
    picker: Picker,
    refuses: Vec<bool>,
    limits: Vec<u32>,
    open: Vec<u32>,
}

impl Scene {
    /// From the words before the bar; the header of each file says what they mean.
    fn new(setup: &str) -> Self {
        let words: Vec<_> = setup.split(' ').collect();
        let balance: Balance = words[0].replacen(':', " ", 1).parse().unwrap();
        let said = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let balance_factor = said("factor=").map(|percent| percent.parse().unwrap());
        let hash_type = said("hash-type=").unwrap_or("map-based");
        let hashing = Hashing {
            balance_factor,
            ..hash_type.replace('/', " ").parse().unwrap()
        };
        let mut limits = Vec::new();
        let mut refuses = Vec::new();
        let mut entries = Vec::new();
        for (spec, number) in words[words.len() - 1].split(',').zip(1..) {
            let mut parts = spec.split('@');
            let (spec, id) = match parts.next().unwrap().split_once('#') {
                Some((spec, id)) => (spec, id.parse().unwrap()),
                None => (spec.split('@').next().unwrap(), number),
            };
            let (key, address) = match (parts.next(), parts.next()) {
                (Some(key), Some(address)) => (key, address.parse().unwrap()),
                _ => ("id", "127.0.0.1:1".parse().unwrap()),
            };
            let key = match key {
                "id" => NodeKey::Id,
                "addr" => NodeKey::Address,
                _ => NodeKey::AddressPort,
            };
            let (spec, limit) = spec.split_once('/').unwrap_or((spec, "0"));
            limits.push(limit.parse().unwrap());
            refuses.push(spec.contains('x'));
            entries.push(Entry {
                weight: spec.trim_end_matches(['b', 'd', 'x']).parse().unwrap(),
                backup: spec.contains('b'),
                usable: !spec.contains('d'),
                full: false,
                id,
                node_key: node_key(key, id, &ServerAddress::Inet(address)),
            });
        }
        let all_backups = words.contains(&"allbackups");
        let rng = Rng::with_seed(1);
        Self {
            picker: Picker::new(&balance, hashing, &entries, all_backups, rng),
            refuses,
            open: vec![0; limits.len()],
            limits,
        }
    }

    fn opened(&mut self, index: usize) {
        self.picker.opened(index);
        self.open[index] += 1;
        self.tell_limit(index);
    }

    fn closed(&mut self, index: usize) {
        self.picker.closed(index);
        self.open[index] -= 1;
        self.tell_limit(index);
    }

    fn tell_limit(&mut self, index: usize) {
        let limit = self.limits[index];
        let full = limit > 0 && self.open[index] >= limit;
        self.picker.set_full(index, full);
    }
}

/// Replays one line of a vector file.
fn replay(line: &str) -> Result<(), String> {
    let (setup, events) = line.split_once(" | ").expect("a vector has events");
    let mut scene = Scene::new(setup);
    for (number, event) in events.split(' ').enumerate() {
        let index = |digits: &str| digits.parse::<usize>().unwrap();
        // A client's address may begin as an event does.
        let (kind, rest) = if event.contains('=') {
            ("", event)
        } else {
            event.split_at(1)
        };
        match (kind, rest) {
            ("d", server) => scene.picker.set_usable(index(server), false),
            ("u", server) => scene.picker.set_usable(index(server), true),
            ("c", server) => scene.closed(index(server)),
            ("w", change) => {
                let (server, weight) = change.split_once(':').unwrap();
                let weight = weight.parse().unwrap();
                scene.picker.set_weight(index(server), weight);
            }
            _ => {
                let (client, expected) = event.split_once('=').unwrap_or(("?", event));
                let chosen = connect(&mut scene, &ends(client));
                let expected = if expected.contains(':') {
                    expected.into()
                } else {
                    format!("{expected}:")
                };
                if !chosen.starts_with(&expected) {
                    return Err(format!(
                        "{setup}: event {number} ({client}): {expected} but we {chosen}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// `?`, `address`, or `address/port/address/port` of both ends.
fn ends(text: &str) -> Ends {
    let mut parts = text.split('/');
    let mut end = || {
        let ip = parts.next()?.parse().ok()?;
        Some(SocketAddr::new(
            ip,
            parts.next().unwrap_or("1").parse().ok()?,
        ))
    };
    Ends {
        source: end(),
        destination: end(),
    }
}

/// One connection with `option redispatch`, told as a vector has it; it stays open.
fn connect(scene: &mut Scene, ends: &Ends) -> String {
    let mut picks = vec![0; scene.refuses.len()];
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let Some(chosen) = scene.picker.pick(ends, failed) else {
            break;
        };
        picks[chosen] += 1;
        scene.opened(chosen);
        if !scene.refuses[chosen] {
            return format!("{chosen}:{}", digits(&picks));
        }
        scene.closed(chosen);
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
    let drawn = (
        0_u16..=256,
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.8),
    )
        .prop_map(|(weight, backup, usable)| Entry {
            weight,
            backup,
            usable,
            ..entry(0)
        });
    proptest::collection::vec(drawn, 1..12).prop_map(|mut entries| {
        for (entry, id) in entries.iter_mut().zip(1..) {
            (entry.id, entry.node_key) = (id, id);
        }
        entries
    })
}

/// A server of weight 1 that serves.
fn entry(id: u32) -> Entry {
    Entry {
        weight: 1,
        backup: false,
        usable: true,
        full: false,
        id,
        node_key: id,
    }
}

/// Every rule, table and ring included.
fn any_rule() -> impl Strategy<Value = (Balance, Hashing)> {
    let balance = prop_oneof![
        Just(Balance::RoundRobin),
        Just(Balance::StaticRoundRobin),
        Just(Balance::LeastConn),
        Just(Balance::First),
        (1_u32..4).prop_map(|draws| Balance::Random { draws }),
        Just(Balance::Source),
        Just("hash rand".parse().unwrap()),
        Just(Balance::RdpCookie),
    ];
    let hashing =
        (any::<bool>(), proptest::option::of(101_u32..200)).prop_map(|(ring, bound)| Hashing {
            method: if ring {
                HashMethod::Consistent
            } else {
                HashMethod::MapBased
            },
            function: HashFunction::Djb2,
            avalanche: true,
            balance_factor: bound,
        });
    (balance, hashing)
}

fn picker((balance, hashing): &(Balance, Hashing), servers: &[Entry], all: bool) -> Picker {
    Picker::new(balance, *hashing, servers, all, Rng::with_seed(7))
}

fn nobody() -> Ends {
    Ends::default()
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
        rule in any_rule(),
        all_backups in any::<bool>(),
        (start, events) in entries().prop_flat_map(|start| {
            let events = proptest::collection::vec(event(start.len()), 0..200);
            (Just(start), events)
        }),
    ) {
        let mut picker = picker(&rule, &start, all_backups);
        let mut book = start;
        let mut open = Vec::new();
        for event in &events {
            apply(event, &mut picker, &mut book, &mut open);
            let kind = |backup| book.iter().filter(move |e| e.share() > 0 && e.backup == backup);
            prop_assert_eq!(picker.active_servers() as usize, kind(false).count());
            prop_assert_eq!(picker.backup_servers() as usize, kind(true).count());
            let on_backup = kind(false).count() == 0;
            // A table lets other backups in beside the one.
            let is_table = matches!(picker.rule, Rule::Map(_));
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
            let chosen = picker.pick(&nobody(), avoid);
            prop_assert_eq!(chosen.is_none(), sharing.is_empty());
            if let Some(chosen) = chosen {
                let is_in_table = is_table && single && book[chosen].backup && book[chosen].share() > 0;
                prop_assert!(sharing.contains(&chosen) || is_in_table, "{chosen} of {sharing:?}");
                if avoid == Some(chosen)
                    && !picker.pins()
                    && !is_table
                    && rule.1.balance_factor.is_none()
                {
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
        let rule = (Balance::RoundRobin, Hashing::default());
        let mut picker = picker(&rule, &start, false);
        let mut book = start;
        for event in &events {
            apply(event, &mut picker, &mut book, &mut Vec::new());
            if let Event::Pick { avoid } = *event {
                picker.pick(&nobody(), avoid);
            }
        }
        let total: usize = book.iter().map(|e| usize::from(e.share())).sum();
        // Two rounds of sixteen turns per weight: the one that is under way, and another since
        // weights that changed within it may still show in who is left over.
        for _ in 0..32 * total {
            picker.pick(&nobody(), None);
        }
        let mut counts = vec![0_usize; book.len()];
        for _ in 0..16 * total {
            counts[picker.pick(&nobody(), None).unwrap()] += 1;
        }
        for (entry, count) in book.iter().zip(counts) {
            let due = 16 * usize::from(entry.share());
            prop_assert!(count.abs_diff(due) <= 16, "{count} turns instead of {due}");
        }
    }
}

#[test]
fn source_keeps_a_client_on_its_server_and_spreads_clients() {
    let entries = [1, 2, 3].map(entry);
    let mut picker = picker(&(Balance::Source, Hashing::default()), &entries, false);
    let clients: Vec<Ends> = (0..30).map(|n| ends(&format!("10.1.2.{n}"))).collect();
    let first: Vec<_> = clients
        .iter()
        .map(|client| picker.pick(client, None))
        .collect();
    for (client, &server) in clients.iter().zip(&first) {
        let again = picker.pick(client, server);
        assert_eq!(again, server, "avoid moves no pinned client");
    }
    for server in 0..3 {
        let count = first
            .iter()
            .filter(|&&chosen| chosen == Some(server))
            .count();
        assert_eq!(count, 10);
    }
}

/// HAProxy's manual: chance respects weights, and of two draws the less loaded server is taken.
#[test]
fn random_respects_weights_and_evens_out_load() {
    let entries: Vec<Entry> = (1..=4)
        .map(|id| Entry {
            weight: 10 * u16::try_from(id).unwrap(),
            node_key: hash::mix(id),
            ..entry(id)
        })
        .collect();
    let spread = |draws| {
        let rule = (Balance::Random { draws }, Hashing::default());
        let mut picker = picker(&rule, &entries, false);
        let mut counts = [0_i32; 4];
        for _ in 0..10_000 {
            let chosen = picker.pick(&nobody(), None).unwrap();
            picker.opened(chosen);
            counts[chosen] += 1;
        }
        // How far the worst one is from its share.
        let off = |(at, &count): (usize, &i32)| (count - 1000 * (at as i32 + 1)).abs();
        counts.iter().enumerate().map(off).max().unwrap()
    };
    assert!(spread(1) < 1000, "{} off", spread(1));
    assert!(spread(2) < 20, "{} off", spread(2));
}

#[test]
fn a_full_server_is_passed_over_by_all_but_hashes() {
    for (balance, passes) in [
        (Balance::RoundRobin, true),
        (Balance::StaticRoundRobin, true),
        (Balance::LeastConn, true),
        (Balance::First, true),
        (Balance::Source, false),
    ] {
        let rule = (balance, Hashing::default());
        let mut picker = picker(&rule, &[1, 2].map(entry), false);
        let client = ends("0.0.0.0");
        assert_eq!(picker.pick(&client, None), Some(0), "{rule:?}");
        picker.set_full(0, true);
        let expected = if passes { 1 } else { 0 };
        for _ in 0..3 {
            assert_eq!(picker.pick(&client, None), Some(expected), "{rule:?}");
        }
        picker.set_full(1, true);
        let expected = if passes { None } else { Some(0) };
        assert_eq!(picker.pick(&client, None), expected, "{rule:?}");
        assert_eq!(picker.active_servers(), 2, "full servers are up");
        picker.set_full(0, false);
        assert_eq!(picker.pick(&client, None), Some(0), "{rule:?}");
    }
}

#[test]
fn ten_thousand_servers_cost_little_per_pick() {
    let entries: Vec<Entry> = (0..10_000)
        .map(|id| Entry {
            weight: 100,
            ..entry(id)
        })
        .collect();
    for balance in [
        Balance::RoundRobin,
        Balance::LeastConn,
        Balance::StaticRoundRobin,
    ] {
        let rule = (balance, Hashing::default());
        let mut picker = picker(&rule, &entries, false);
        let mut counts = vec![0_u32; entries.len()];
        for _ in 0..30_000 {
            let chosen = picker.pick(&nobody(), None).unwrap();
            picker.opened(chosen);
            counts[chosen] += 1;
        }
        assert!(
            counts.iter().all(|&count| count == 3),
            "equal servers share equally"
        );
    }
}
