//! A name server over UDP that answers from a table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const ASKS: usize = 12;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Address(IpAddr),
    /// Weight, port and host of a service.
    Service(u16, u16, &'static str),
}

/// How questions about a name are answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Records(Vec<Record>),
    Refused,
    /// Not at all.
    Silence,
}

/// A name server; a name that it does not know does not exist.
pub(crate) struct Dns {
    address: SocketAddr,
    names: Arc<Mutex<BTreeMap<String, Answer>>>,
}

impl Dns {
    pub(crate) fn start(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let names = Arc::<Mutex<BTreeMap<String, Answer>>>::default();
        let known = Arc::clone(&names);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                if length == 0 {
                    break;
                }
                let answer = answer(&buffer[..length], &known.lock().unwrap());
                if let Some(answer) = answer {
                    // Who asked may have given up.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, names }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.names.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// From now on the name stands for these addresses.
    pub(crate) fn set_addresses(&self, name: &str, ips: &[IpAddr]) {
        let records = ips.iter().map(|ip| Record::Address(*ip)).collect();
        self.set(name, Answer::Records(records));
    }

    pub(crate) fn forget(&self, name: &str) {
        self.names.lock().unwrap().remove(name);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        if let Ok(socket) = UdpSocket::bind((self.address.ip(), 0)) {
            let _ = socket.send_to(b"", self.address);
        }
    }
}

fn answer(question: &[u8], names: &BTreeMap<String, Answer>) -> Option<Vec<u8>> {
    let (name, end) = name_at(question, ASKS)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let (code, records) = match names.get(&name) {
        None => (3, &[][..]),
        Some(Answer::Refused) => (5, &[][..]),
        Some(Answer::Silence) => return None,
        Some(Answer::Records(records)) => (0, records.as_slice()),
    };
    let answers: Vec<Vec<u8>> = records
        .iter()
        .filter_map(|record| record_bytes(record, kind))
        .collect();
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0]);
    reply.extend(&question[ASKS..end + 4]);
    for data in answers {
        reply.extend([0xc0, ASKS as u8]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 1]);
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}

fn record_bytes(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Address(IpAddr::V4(ip)), A) => Some(ip.octets().to_vec()),
        (Record::Address(IpAddr::V6(ip)), AAAA) => Some(ip.octets().to_vec()),
        (Record::Service(weight, port, host), SRV) => {
            let mut data = [1_u16, *weight, *port]
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect::<Vec<u8>>();
            for label in host.split('.') {
                data.push(label.len() as u8);
                data.extend(label.bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}

/// The name that begins at `at`, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}
