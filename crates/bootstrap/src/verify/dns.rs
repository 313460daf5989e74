//! A look-up by the cluster's own DNS, made of what every host has: bash and dd.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::plan::quote;

/// The address that the service `kubernetes` has: the first of the service network.
pub(super) fn service(network: &IpNet) -> IpAddr {
    nth(network, 1)
}

/// Where kubeadm puts the cluster's DNS: the tenth of the service network.
pub(super) fn server(network: &IpNet) -> SocketAddr {
    SocketAddr::new(nth(network, 10), 53)
}

fn nth(network: &IpNet, number: u32) -> IpAddr {
    match network {
        IpNet::V4(network) => IpAddr::V4((u32::from(network.network()) + number).into()),
        IpNet::V6(network) => {
            IpAddr::V6((u128::from(network.network()) + u128::from(number)).into())
        }
    }
}

/// A script that prints the answer to a question for `name` in hexadecimal digits, or nothing.
pub(super) fn script(server: SocketAddr, name: &str) -> String {
    let escaped = question(name, server.ip())
        .iter()
        .fold(String::new(), |mut text, byte| {
            text.push_str(&format!("\\{byte:03o}"));
            text
        });
    // dd: bash would send a datagram for each line, and 10 is the length of `kubernetes`.
    let ask = format!(
        "exec 3<>/dev/udp/{}/{}; printf '{escaped}' | dd bs=512 iflag=fullblock status=none >&3; \
         timeout 3 dd bs=1500 count=1 status=none <&3 | od -An -v -tx1 | tr -d ' \\n'",
        server.ip(),
        server.port()
    );
    format!("timeout 5 bash -c {} 2>/dev/null", quote(&ask))
}

/// RFC 1035, section 4: one question for an address of the server's own family.
fn question(name: &str, family: IpAddr) -> Vec<u8> {
    let mut bytes = vec![0x45, 0x4b, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(63).min(63));
        bytes.extend(label.bytes().take(63));
    }
    bytes.extend([0, 0, if family.is_ipv4() { 1 } else { 28 }, 0, 1]);
    bytes
}

/// Why the answer is not the address that was expected; `None` if it is.
pub(super) fn lacks(hex: &str, expected: IpAddr) -> Option<String> {
    let bytes: Option<Vec<u8>> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    let bytes = match bytes {
        Some(bytes) if bytes.len() > 12 => bytes,
        _ => return Some("no answer".to_owned()),
    };
    let address = match expected {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    match bytes[3] & 0x0f {
        0 if bytes.windows(address.len()).any(|window| window == address) => None,
        0 => Some(format!("an answer without {expected}")),
        3 => Some("it says that there is no such name".to_owned()),
        code => Some(format!("it answers with the error {code}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::process::Command;

    use super::*;

    #[test]
    fn addresses_are_where_kubeadm_puts_them() {
        let network: IpNet = "10.96.0.0/12".parse().unwrap();
        assert_eq!(service(&network).to_string(), "10.96.0.1");
        assert_eq!(server(&network).to_string(), "10.96.0.10:53");
        let network: IpNet = "fd00:96::/112".parse().unwrap();
        assert_eq!(server(&network).to_string(), "[fd00:96::a]:53");
    }

    #[test]
    fn a_host_asks_in_one_datagram_and_the_answer_is_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let mut bytes = [0; 600];
            let (length, peer) = socket.recv_from(&mut bytes).unwrap();
            let mut answer = bytes[..length].to_vec();
            answer[2] |= 0x80;
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1]);
            socket.send_to(&answer, peer).unwrap();
            bytes[..length].to_vec()
        });
        let name = "kubernetes.default.svc.cluster.local";
        let output = Command::new("sh")
            .args(["-c", &script(server, name)])
            .output()
            .unwrap();
        assert_eq!(asked.join().unwrap(), question(name, server.ip()));
        let hex = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lacks(&hex, "10.96.0.1".parse().unwrap()), None);
        assert_eq!(
            lacks(&hex, "10.97.0.1".parse().unwrap()).as_deref(),
            Some("an answer without 10.97.0.1")
        );
    }

    #[test]
    fn silence_and_errors_have_names() {
        let expected = "10.96.0.1".parse().unwrap();
        assert_eq!(lacks("", expected).as_deref(), Some("no answer"));
        let refused = "454b8185000100000000000000";
        assert_eq!(
            lacks(refused, expected).as_deref(),
            Some("it answers with the error 5")
        );
    }
}
