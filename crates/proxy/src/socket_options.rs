//! Options of listening sockets that neither the standard library nor its kin know (tcp(7)).

use std::io;

use evenkeel_config::Bind;
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use socket2::Socket;

/// How long a client may take to say something before it is accepted all the same: until the
/// kernel has sent its answer a second time.
const DEFER_SECONDS: i32 = 1;
/// Connections that may come with data before their handshake is done.
const FAST_OPEN_QUEUE: i32 = 1024;

sockopt_impl!(
    /// TCP_DEFER_ACCEPT, in seconds; 0: off.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    libc::c_int
);

sockopt_impl!(
    /// TCP_FASTOPEN: how many may wait; 0: off.
    FastOpen,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_FASTOPEN,
    libc::c_int
);

sockopt_impl!(
    /// TCP_MAXSEG.
    MaxSegment,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_MAXSEG,
    libc::c_int
);

/// The least and the largest segment that the kernel takes.
const SEGMENTS: (i32, i32) = (88, 32767);

/// Gives a listening socket what its `bind` line says, or takes back what an earlier one said.
pub(crate) fn listening(socket: &Socket, bind: &Bind) -> io::Result<()> {
    let on = |is_on, value| if is_on { value } else { 0 };
    setsockopt(socket, DeferAccept, &on(bind.defer_accept, DEFER_SECONDS))?;
    let (least, largest) = SEGMENTS;
    let mss = bind
        .mss
        .map_or(0, |mss| i32::from(mss).clamp(least, largest));
    setsockopt(socket, MaxSegment, &mss)?;
    match setsockopt(socket, FastOpen, &on(bind.fast_open, FAST_OPEN_QUEUE)) {
        Err(error) if bind.fast_open => Err(error.into()),
        // A kernel without it has none to take back.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use evenkeel_config::{BindAddress, IpVersions, Place, UnixAccess};

    use super::*;

    fn bind() -> Bind {
        Bind {
            place: Place::whole_file("x"),
            address: BindAddress::Fd(3),
            id: 1,
            name: String::new(),
            maxconn: None,
            backlog: None,
            interface: None,
            ip_versions: IpVersions::System,
            transparent: false,
            tcp_user_timeout: None,
            accept_proxy: false,
            mss: None,
            fast_open: false,
            defer_accept: false,
            access: UnixAccess::default(),
        }
    }

    #[test]
    fn what_a_bind_line_says_is_set_and_taken_back() {
        let socket = Socket::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let usual = socket.tcp_mss().unwrap();
        let asking = Bind {
            mss: Some(1200),
            defer_accept: true,
            fast_open: true,
            ..bind()
        };
        listening(&socket, &asking).unwrap();
        assert_eq!(socket.tcp_mss().unwrap(), 1200);
        listening(&socket, &bind()).unwrap();
        assert_eq!(socket.tcp_mss().unwrap(), usual);
        let tiny = Bind {
            mss: Some(1),
            ..bind()
        };
        listening(&socket, &tiny).unwrap();
    }
}
