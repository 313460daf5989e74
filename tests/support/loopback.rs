//! A loopback address per test: all of 127.0.0.0/8 is ours, so a port that the kernel gave on an
//! address of our own is never taken by another test's client or server in between.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that no other test uses.
pub(crate) fn unique_ip() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // 128 addresses for each process id, wrapped into 127.1.0.0 - 127.254.255.255.
    let number = std::process::id()
        .wrapping_mul(128)
        .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let [_, b, c, d] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1 + b % 254, c, 1 + d % 254))
}

/// A TCP port of `ip` that the kernel says is free and that was not given to anybody before: until
/// it is bound the kernel may well name it again.
pub(crate) fn free_tcp(ip: IpAddr) -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(address) {
            return address;
        }
    }
}

/// A UDP port of `ip` that the kernel says is free.
pub(crate) fn free_udp(ip: IpAddr) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// Whether anything listens at `address`, read from the kernel's table: asking by connecting would
/// itself be counted, logged and balanced.
pub(crate) fn is_listening(address: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    sockets(address).any(|socket| socket.local == kernel_form(address) && socket.state == LISTEN)
}

/// Whether a connect to `address` is under way, its SYN sent and not answered.
pub(crate) fn is_being_connected(address: SocketAddr) -> bool {
    const SYN_SENT: &str = "02";
    sockets(address).any(|socket| socket.remote == kernel_form(address) && socket.state == SYN_SENT)
}

struct KernelSocket {
    local: String,
    remote: String,
    state: String,
}

/// All TCP sockets of the address's family.
fn sockets(address: SocketAddr) -> impl Iterator<Item = KernelSocket> {
    let table = match address {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let text = std::fs::read_to_string(table).unwrap();
    let sockets: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split_whitespace().skip(1).map(str::to_owned);
            let mut next = || fields.next().unwrap();
            KernelSocket {
                local: next(),
                remote: next(),
                state: next(),
            }
        })
        .collect();
    sockets.into_iter()
}

/// `0100007F:1F90`: each 32-bit word of the address as the machine holds it.
fn kernel_form(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words: String = octets
        .chunks_exact(4)
        .map(|word| {
            format!(
                "{:08X}",
                u32::from_ne_bytes([word[0], word[1], word[2], word[3]])
            )
        })
        .collect();
    format!("{words}:{:04X}", address.port())
}
