//! What kube-proxy and CoreDNS do together, as far as a look-up goes: the cluster's DNS answers at its
//! service address on every node, once the network is there.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Once;
use std::thread;

use crate::containerd;

/// Where kubeadm puts it.
const ADDRESS: &str = "10.96.0.10";

/// Begins to answer, once.
pub fn serve() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = Command::new("ip")
            .args(["address", "replace", &format!("{ADDRESS}/32"), "dev", "lo"])
            .status();
        let Ok(socket) = UdpSocket::bind((ADDRESS, 53)) else {
            eprintln!("kubelet: {ADDRESS}:53 is taken");
            return;
        };
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut question) {
                if length > 12 && containerd::has_cni() {
                    let _ = socket.send_to(&answer(&question[..length]), peer);
                }
            }
        });
    });
}

/// RFC 1035: `kubernetes.default.svc` has the first service address, other names do not exist.
fn answer(question: &[u8]) -> Vec<u8> {
    let is_known = question.windows(11).any(|label| label == b"\x0akubernetes");
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = if is_known { 0 } else { 3 };
    if is_known {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1]);
    }
    answer
}
