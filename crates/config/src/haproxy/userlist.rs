//! `userlist` sections: who there is, with which password and in which groups (HAProxy manual,
//! section 12.1).

use super::{Line, Reader};
use crate::{Member, UserList};

impl Reader<'_> {
    pub(super) fn begin_userlist(&mut self, line: &Line<'_>) {
        let Some(name) = line.words.get(1) else {
            return self.error(line.here(), "'userlist' needs a name after it");
        };
        self.draft.userlists.push(UserList {
            name: name.text.clone(),
            members: Vec::new(),
        });
    }

    /// `user NAME password HASH | insecure-password TEXT [groups A,B]`, `group NAME [users A,B]`.
    pub(super) fn userlist_line(&mut self, line: &Line<'_>) {
        let words: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
        let message = match words[..] {
            ["user", name, ref rest @ ..] => match self.user(name, rest) {
                Ok(()) => {
                    self.note_groups(line);
                    return self.warn_of_hash(line, name);
                }
                Err(message) => message,
            },
            ["group", name] => {
                self.has_group(name);
                self.group(name, "");
                return;
            }
            ["group", name, "users", users] => {
                self.has_group(name);
                self.group(name, users);
                return;
            }
            [first @ ("user" | "group")] => format!("'{first}' needs a name after it"),
            ["group", ..] => "'group' takes a name, 'users' and their names, A,B".to_owned(),
            _ => "a userlist has lines 'user' and 'group' only".to_owned(),
        };
        self.error(line.here(), message);
    }

    fn user(&mut self, name: &str, mut rest: &[&str]) -> Result<(), String> {
        let mut password = None;
        let mut groups = Vec::new();
        loop {
            rest = match *rest {
                [] => break,
                ["insecure-password", text, ref rest @ ..] => {
                    password = Some((*text).to_owned());
                    rest
                }
                // One that is hashed is known by nobody here, so that it lets nobody in.
                ["password", _, ref rest @ ..] => rest,
                ["groups", names, ref rest @ ..] => {
                    groups.extend(names.split(',').map(str::to_owned));
                    rest
                }
                [word, ..] => {
                    return Err(format!(
                        "'{word}' after user '{name}'; write 'password', 'insecure-password' or \
                         'groups' and a value"
                    ));
                }
            };
        }
        if let Some(list) = self.draft.userlists.last_mut() {
            // A group before it may name it already.
            let known = list.members.iter_mut().find(|account| account.name == name);
            if let Some(known) = known {
                known.password = password;
                known.groups.extend(groups);
            } else {
                list.members.push(Member {
                    name: name.to_owned(),
                    password,
                    groups,
                });
            }
        }
        Ok(())
    }

    /// The groups that a `user` line names, which have a line of their own somewhere.
    fn note_groups(&mut self, line: &Line<'_>) {
        // The line is `user NAME` and pairs of a keyword and its value.
        for pair in line.words[2..].chunks(2) {
            if let [keyword, names] = pair
                && keyword.text == "groups"
            {
                for name in names.text.split(',') {
                    self.wants_group(name, line.place(names));
                }
            }
        }
    }

    /// A password that is only known as its hash is compared with nothing: whoever relied on it is
    /// told at once, not when the page asks in vain.
    fn warn_of_hash(&mut self, line: &Line<'_>, name: &str) {
        // The line is `user NAME` and pairs of a keyword and its value.
        let keywords = || line.words.iter().skip(2).step_by(2);
        if keywords().any(|word| word.text == "insecure-password") {
            return;
        }
        if let Some(word) = keywords().find(|word| word.text == "password") {
            self.warning(
                line.place(word),
                format!(
                    "the password of user '{name}' is hashed, and hashes are not read: it lets \
                     nobody in; write 'insecure-password' and the password itself"
                ),
            );
        }
    }

    fn group(&mut self, group: &str, users: &str) {
        let Some(list) = self.draft.userlists.last_mut() else {
            return;
        };
        for name in users.split(',').filter(|name| !name.is_empty()) {
            match list.members.iter_mut().find(|account| account.name == name) {
                Some(account) => account.groups.push(group.to_owned()),
                None => list.members.push(Member {
                    name: name.to_owned(),
                    password: None,
                    groups: vec![group.to_owned()],
                }),
            }
        }
    }
}
