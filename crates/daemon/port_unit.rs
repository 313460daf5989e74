//! Which unit of systemd a listening socket belongs to. The kernel tells anybody the control group of a
//! socket (sock_diag(7), `INET_DIAG_CGROUP_ID` since Linux 5.9), where only root may see the process that
//! holds it; systemd names a unit's control group after the unit.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// linux/netlink.h and linux/inet_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_AND_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_HEADER: usize = 16;
const INET_DIAG_MSG: usize = 72;
const INODE_AT: usize = 68;
const INET_DIAG_CGROUP_ID: u16 = 21;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u32 = 10;
const FAMILIES: [AddressFamily; 2] = [AddressFamily::INET, AddressFamily::INET6];

/// The kernel answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of one part of an answer; netlink(7) recommends 8 KiB, the kernel sends up to 32.
const PART_BYTES: usize = 32 * 1024;
/// A node full of pods has some thousand control groups.
const MOST_GROUPS: usize = 20_000;

/// The unit of the first of these sockets, by their inode numbers, that has one.
pub(crate) fn of_listeners(inodes: &[u64]) -> Option<String> {
    let mut groups = FAMILIES
        .iter()
        .filter_map(|family| group_of(*family, inodes));
    unit_of(&directory_of(groups.next()?)?)
}

/// The number of a socket's control group.
fn group_of(family: AddressFamily, inodes: &[u64]) -> Option<u64> {
    let socket = ask(family).ok()?;
    let mut part = vec![0; PART_BYTES];
    loop {
        let (length, _) = recv(&socket, &mut part[..], RecvFlags::empty()).ok()?;
        let mut messages = Messages(part.get(..length)?);
        for (kind, message) in &mut messages {
            match kind {
                NLMSG_DONE | NLMSG_ERROR => return None,
                _ => match group_in(message, inodes) {
                    None => {}
                    found => return found,
                },
            }
        }
        if length == 0 {
            return None;
        }
    }
}

/// Asks for all listening sockets of a family.
fn ask(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, &request(family), SendFlags::empty())?;
    Ok(socket)
}

/// A `nlmsghdr` and an `inet_diag_req_v2` that names no socket.
fn request(family: AddressFamily) -> Vec<u8> {
    const SOCKET_ID: [u8; 48] = [0; 48];
    const LENGTH: u32 = 72;
    let mut request = Vec::new();
    request.extend(LENGTH.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(REQUEST_AND_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    let family = u8::try_from(family.as_raw()).unwrap_or(0);
    request.extend([family, IPPROTO_TCP, 0, 0]);
    request.extend((1_u32 << TCP_LISTEN).to_ne_bytes());
    request.extend(SOCKET_ID);
    request
}

/// Messages of one part of an answer: type and content.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(u32::from_ne_bytes(bytes(self.0, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(bytes(self.0, 4)?);
        let content = self.0.get(NLMSG_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    }
}

/// Of an `inet_diag_msg` and its attributes: the control group, if it is one of these sockets.
fn group_in(message: &[u8], inodes: &[u64]) -> Option<u64> {
    let inode = u32::from_ne_bytes(bytes(message, INODE_AT)?);
    if !inodes.contains(&u64::from(inode)) {
        return None;
    }
    let mut attributes = message.get(INET_DIAG_MSG..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(bytes(attributes, 0)?));
        if u16::from_ne_bytes(bytes(attributes, 2)?) == INET_DIAG_CGROUP_ID {
            return Some(u64::from_ne_bytes(bytes(attributes, 4)?));
        }
        // A length of nothing would be one without an end.
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The directory of a control group, whose inode number is the group's.
fn directory_of(group: u64) -> Option<PathBuf> {
    // Where both versions are mounted, the second is here.
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .map(Path::new)
        .into_iter()
        .find(|root| root.is_dir())?;
    let mut waiting = VecDeque::from([root.to_owned()]);
    for _ in 0..MOST_GROUPS {
        let directory = waiting.pop_front()?;
        if directory.metadata().is_ok_and(|found| found.ino() == group) {
            return Some(directory);
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(below.map(|entry| entry.path()));
    }
    None
}

/// The innermost unit that a control group's path names: `/system.slice/haproxy.service`.
fn unit_of(directory: &Path) -> Option<String> {
    let names = directory.iter().rev().filter_map(|name| name.to_str());
    let mut units = names.filter(|name| name.ends_with(".service") || name.ends_with(".scope"));
    units.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn innermost_unit_is_named() {
        for (path, expected) in [
            (
                "/sys/fs/cgroup/system.slice/haproxy.service",
                Some("haproxy.service"),
            ),
            (
                "/sys/fs/cgroup/user.slice/user-0.slice/user@0.service/app.slice/lb.service/sub",
                Some("lb.service"),
            ),
            (
                "/sys/fs/cgroup/user.slice/session-1.scope",
                Some("session-1.scope"),
            ),
            ("/sys/fs/cgroup", None),
        ] {
            assert_eq!(unit_of(Path::new(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn attributes_are_read_to_their_end_whatever_they_say() {
        let mut message = vec![0; INET_DIAG_MSG];
        message[INODE_AT..].copy_from_slice(&77_u32.to_ne_bytes());
        let attribute = |kind: u16, data: &[u8]| {
            let length = u16::try_from(4 + data.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), data].concat()
        };
        let with = |attributes: &[Vec<u8>]| [message.clone(), attributes.concat()].concat();
        let mark = attribute(8, &[0, 0, 0, 0]);
        let group = attribute(INET_DIAG_CGROUP_ID, &4711_u64.to_ne_bytes());
        let whole = with(&[mark.clone(), group.clone()]);
        assert_eq!(group_in(&whole, &[76, 77]), Some(4711));
        assert_eq!(group_in(&whole, &[76]), None);
        assert_eq!(group_in(&with(&[mark]), &[77]), None);
        assert_eq!(group_in(&with(&[vec![0; 8]]), &[77]), None);
        for end in 0..whole.len() {
            assert_eq!(group_in(&whole[..end], &[77]), None, "{end}");
        }
    }

    #[test]
    fn kernel_tells_of_a_socket_of_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&listener)
        ));
        let link = link.unwrap().to_str().unwrap().to_owned();
        let inode = link.trim_matches(|letter: char| !letter.is_ascii_digit());
        let inode = inode.parse().unwrap();
        assert!(group_of(AddressFamily::INET, &[inode]).is_some(), "{link}");
        assert_eq!(group_of(AddressFamily::INET, &[u64::MAX]), None);
    }
}
