//! Unix sockets that listen: bound aside and moved into place, with the owner and mode that the
//! configuration names.

use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use evenkeel_config::UnixAccess;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fstat, open as open_file,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::accounts;
use crate::sockets::Ownership;

/// Where a Unix socket is bound, and where it is to be found.
#[derive(Debug)]
pub(crate) struct Aside {
    bound: PathBuf,
    path: PathBuf,
}

impl Aside {
    pub(crate) fn settle(self) {
        // The directory took the socket a moment ago; if it no longer does, nobody can find any
        // socket there.
        let _ = std::fs::rename(self.bound, self.path);
    }

    pub(crate) fn abandon(self) {
        let _ = std::fs::remove_file(self.bound);
    }
}

/// A Unix socket bound aside: it is moved over the one that an earlier process left behind, or
/// whose owner hands over, so that nobody who connects finds no socket there.
pub(crate) fn open(
    path: &Path,
    access: &UnixAccess,
    ownership: Ownership,
) -> io::Result<(Socket, Aside)> {
    if ownership == Ownership::Exclusive {
        let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        match probe.connect(&SockAddr::unix(path)?) {
            Ok(()) => return Err(io::ErrorKind::AddrInUse.into()),
            // Somebody listens whose queue is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            Err(_) => {}
        }
    }
    let in_the_way = std::fs::symlink_metadata(path);
    if in_the_way.is_ok_and(|meta| !meta.file_type().is_socket()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.tmp", std::process::id()));
    let aside = PathBuf::from(aside);
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if access.mode.is_some() {
        // Its file has this mode from the beginning: nobody comes in before it has its own.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    }
    // One of ours that never came into force.
    let _ = std::fs::remove_file(&aside);
    socket.bind(&SockAddr::unix(&aside)?)?;
    if let Err(error) = give(&aside, access) {
        let _ = std::fs::remove_file(&aside);
        return Err(error);
    }
    let path = path.to_owned();
    Ok((socket, Aside { bound: aside, path }))
}

/// Makes the socket's file whose it is to be, and lets in whom it is to let in. Whoever may write
/// to the directory may put something else there at any time, so that what was looked at is what
/// is changed, and no link is followed.
pub(crate) fn give(path: &Path, access: &UnixAccess) -> io::Result<()> {
    let user = access.user.as_ref().map(accounts::user_id).transpose()?;
    let group = access.group.as_ref().map(accounts::group_id).transpose()?;
    let file = open_file(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let found = fstat(&file)?;
    // A second name may be one that was made for somebody else's socket.
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket || found.st_nlink != 1 {
        return Err(io::Error::other(
            "something else has taken the socket's place",
        ));
    }
    if user.is_some() || group.is_some() {
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(&file, "", user, group, AtFlags::EMPTY_PATH)?;
    }
    // After the owner: a change of that may clear bits.
    match access.mode {
        Some(mode) => {
            let this_very_file = format!("/proc/self/fd/{}", file.as_raw_fd());
            std::fs::set_permissions(this_very_file, Permissions::from_mode(mode))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mode_is_given_to_a_socket_and_to_nothing_that_took_its_place() {
        let directory = std::env::temp_dir().join(format!("evenkeel-give-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let access = UnixAccess {
            mode: Some(0o666),
            ..UnixAccess::default()
        };
        let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let path = directory.join("socket");
        let (_socket, aside) = open(&path, &access, Ownership::Exclusive).unwrap();
        aside.settle();
        assert_eq!(mode_of(&path), 0o666);

        let file = directory.join("file");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let link = directory.join("link");
        symlink(&file, &link).unwrap();
        let to_socket = directory.join("to-socket");
        symlink(&path, &to_socket).unwrap();
        for other in [&file, &link, &to_socket, &directory] {
            give(other, &access).unwrap_err();
        }
        assert_eq!(mode_of(&file), 0o600);
        fs::hard_link(&path, directory.join("second")).unwrap();
        give(&path, &access).unwrap_err();
        fs::remove_dir_all(&directory).unwrap();
    }
}
