//! What number the system knows a user or group by.

use std::io;

use evenkeel_config::Account;
use nix::unistd::{Group, User};

/// The number of a user.
///
/// # Errors
/// There is no such user, or the system cannot tell.
pub fn user_id(account: &Account) -> io::Result<u32> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Named(name) => match User::from_name(name)? {
            Some(user) => Ok(user.uid.as_raw()),
            None => Err(unknown("user", name)),
        },
    }
}

/// The number of a group.
///
/// # Errors
/// There is no such group, or the system cannot tell.
pub fn group_id(account: &Account) -> io::Result<u32> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Named(name) => match Group::from_name(name)? {
            Some(group) => Ok(group.gid.as_raw()),
            None => Err(unknown("group", name)),
        },
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    let message = format!("there is no {what} '{name}' on this machine");
    io::Error::new(io::ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_machine() {
        let named = |name: &str| Account::Named(name.to_owned());
        assert_eq!(user_id(&named("root")).unwrap(), 0);
        assert_eq!(group_id(&named("root")).unwrap(), 0);
        assert_eq!(user_id(&Account::Id(4711)).unwrap(), 4711);
        assert_eq!(
            group_id(&named("no-such")).unwrap_err().to_string(),
            "there is no group 'no-such' on this machine"
        );
        assert!(user_id(&named("no-such")).is_err());
    }
}
