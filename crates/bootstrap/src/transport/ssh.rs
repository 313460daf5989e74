//! How ssh(1) is called: with what the inventory says, and what makes it fit for a program. Whatever is left
//! open is `ssh_config`'s.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Failure, Options};
use crate::inventory::Ssh;
use crate::plan::{hash, quote};

/// The path of a socket may have 107 bytes (`sun_path` of unix(7), less its end): less a slash, eight digits
/// and a dash of ours, the 40 digits of %C, and 17 bytes that ssh adds while it makes the socket.
const LONGEST_FOLDER: usize = 107 - 1 - 9 - 40 - 17;

/// The arguments of ssh up to the command.
pub(super) fn arguments(ssh: &Ssh, options: &Options) -> Result<Vec<String>, Failure> {
    let mut arguments = common(ssh, options);
    // A command or forwardings of the user's own for this host would take the place of ours, or fail.
    arguments.push("-oRemoteCommand=none".to_owned());
    arguments.push("-oClearAllForwardings=yes".to_owned());
    arguments.push("-oServerAliveInterval=5".to_owned());
    arguments.push("-oServerAliveCountMax=4".to_owned());
    if let Some(folder) = control_folder() {
        // %C does not know by which way a host is reached, and two sites may have the same addresses.
        let way = ssh.bastion.as_deref().map_or_else(String::new, hash);
        let name = way
            .get(..8)
            .map_or_else(String::new, |way| format!("{way}-"));
        arguments.push("-oControlMaster=auto".to_owned());
        arguments.push(format!("-oControlPath=\"{}/{name}%C\"", folder.display()));
        arguments.push("-oControlPersist=60s".to_owned());
    }
    if let Some(bastion) = &ssh.bastion {
        arguments.push(format!("-oProxyCommand={}", through(bastion, ssh, options)));
    }
    push(&mut arguments, "-p", ssh.port.map(|port| port.to_string()));
    push(&mut arguments, "-l", ssh.user.clone());
    arguments.push("--".to_owned());
    arguments.push(ssh.host.clone());
    Ok(arguments)
}

/// What holds on the way to a bastion, too.
fn common(ssh: &Ssh, options: &Options) -> Vec<String> {
    let mut arguments = vec![
        "-T".to_owned(),
        "-oBatchMode=yes".to_owned(),
        format!("-oConnectTimeout={}", ssh.connect_timeout.as_secs().max(1)),
    ];
    if options.accept_new_host_keys {
        arguments.push("-oStrictHostKeyChecking=accept-new".to_owned());
    }
    let text = |path: &PathBuf| path.display().to_string();
    push(&mut arguments, "-F", ssh.config.as_ref().map(text));
    push(&mut arguments, "-i", ssh.key.as_ref().map(text));
    arguments
}

fn push(arguments: &mut Vec<String>, flag: &str, value: Option<String>) {
    if let Some(value) = value {
        arguments.push(flag.to_owned());
        arguments.push(value);
    }
}

/// The command that `-J` stands for, with our options, which ssh would not hand on: it might ask, or wait for
/// ever. Of several hosts with commas between them the last one gets them.
fn through(bastion: &str, ssh: &Ssh, options: &Options) -> String {
    let (before, last) = match bastion.rsplit_once(',') {
        Some((before, last)) => (Some(before), last),
        None => (None, bastion),
    };
    let (user, place) = match last.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, last),
    };
    // `[fd00::1]:22`, `gate:22`, `gate`; an address of IPv6 without brackets has no port.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut words = common(ssh, options);
    push(&mut words, "-J", before.map(str::to_owned));
    push(&mut words, "-l", user.map(str::to_owned));
    push(&mut words, "-p", port.map(str::to_owned));
    words.push("--".to_owned());
    words.push(host.to_owned());
    // ssh takes the place of `%h` and `%p` in this line, and a shell reads it.
    let words: Vec<_> = words
        .iter()
        .map(|word| quote(&word.replace('%', "%%")))
        .collect();
    format!("ssh -W '[%h]:%p' {}", words.join(" "))
}

/// Where shared connections have their sockets; `None` if there is no such place, and each command connects
/// for itself.
fn control_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let runtime = of("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir());
    let uid = rustix::process::getuid().as_raw();
    let folders = [
        runtime.map(|folder| folder.join("evenkeel")),
        of("HOME").map(|home| home.join(".ssh/evenkeel")),
        Some(PathBuf::from(format!("/tmp/evenkeel-{uid}"))),
    ];
    folders
        .into_iter()
        .flatten()
        .find(|folder| is_short(folder) && is_ours(folder, uid))
}

fn is_short(folder: &Path) -> bool {
    // A quote or a percent sign means something to ssh.
    folder
        .to_str()
        .is_some_and(|text| text.len() <= LONGEST_FOLDER && !text.contains(['"', '%', '\\', '$']))
}

/// Whether it is, or can be made, a folder that nobody else may look into.
fn is_ours(folder: &Path, uid: u32) -> bool {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.is_ok()
        && std::fs::symlink_metadata(folder)
            .is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ssh() -> Ssh {
        Ssh {
            host: "10.0.1.11".to_owned(),
            user: Some("admin".to_owned()),
            port: Some(2222),
            key: Some("/keys/k".into()),
            bastion: None,
            config: None,
            sudo: true,
            connect_timeout: Duration::from_secs(7),
        }
    }

    fn words(ssh: &Ssh, options: &Options) -> String {
        arguments(ssh, options)
            .expect("a folder can be made")
            .join(" ")
    }

    #[test]
    fn ssh_gets_what_the_inventory_says_and_no_more() {
        let all = words(&ssh(), &Options::default());
        assert!(all.ends_with("-p 2222 -l admin -- 10.0.1.11"), "{all}");
        assert!(
            all.contains("-oConnectTimeout=7 -i /keys/k ")
                && !all.contains("StrictHostKeyChecking"),
            "{all}"
        );
        let plain = Ssh {
            user: None,
            port: None,
            key: None,
            ..ssh()
        };
        let options = Options {
            accept_new_host_keys: true,
            ..Options::default()
        };
        let all = words(&plain, &options);
        assert!(all.contains("-oStrictHostKeyChecking=accept-new "), "{all}");
        assert!(all.ends_with("-oControlPersist=60s -- 10.0.1.11"), "{all}");
    }

    #[test]
    fn a_bastion_is_reached_with_the_same_options_and_without_questions() {
        let options = Options {
            accept_new_host_keys: true,
            ..Options::default()
        };
        for (bastion, end) in [
            ("jump@gate", "'-l' 'jump' '--' 'gate'"),
            ("gate:22", "'-p' '22' '--' 'gate'"),
            ("op@[fd00::1]:22", "'-l' 'op' '-p' '22' '--' 'fd00::1'"),
            ("fd00::1", "'--' 'fd00::1'"),
            ("first,op@second", "'-J' 'first' '-l' 'op' '--' 'second'"),
        ] {
            let ssh = Ssh {
                bastion: Some(bastion.to_owned()),
                ..ssh()
            };
            assert_eq!(
                through(bastion, &ssh, &options),
                format!(
                    "ssh -W '[%h]:%p' '-T' '-oBatchMode=yes' '-oConnectTimeout=7' '-oStrictHostKeyChecking=accept-new' '-i' '/keys/k' {end}"
                )
            );
        }
    }

    /// What ssh itself makes of the arguments: it knows them all, and reads a folder with a blank as one word.
    #[test]
    fn ssh_reads_what_it_is_given() {
        let ssh = Ssh {
            bastion: Some("op@gate:23".to_owned()),
            ..ssh()
        };
        let arguments = arguments(&ssh, &Options::default()).expect("a folder can be made");
        let read = |path: &str| {
            let mut arguments = arguments.clone();
            let at = arguments
                .iter()
                .position(|word| word.starts_with("-oControlPath"));
            arguments[at.expect("it is shared")] = path.to_owned();
            let output = std::process::Command::new("ssh")
                .arg("-G")
                .args(&arguments)
                .output();
            String::from_utf8(output.expect("ssh runs").stdout).expect("text")
        };
        let settings = read("-oControlPath=\"/tmp/a folder/%C\"");
        for line in [
            "batchmode yes",
            "port 2222",
            "user admin",
            "clearallforwardings yes",
        ] {
            assert!(
                settings.lines().any(|found| found == line),
                "{line}: {settings}"
            );
        }
        assert!(
            settings.contains("\ncontrolpath /tmp/a folder/"),
            "{settings}"
        );
        assert!(
            settings.contains("\nproxycommand ssh -W '[%h]:%p' "),
            "{settings}"
        );
    }

    #[test]
    fn a_folder_for_sockets_is_short_plain_and_ours_alone() {
        use std::os::unix::fs::PermissionsExt;

        assert!(is_short(Path::new("/run/user/1000/evenkeel")));
        assert!(is_short(Path::new("/home/a b/.ssh/evenkeel")));
        assert!(!is_short(Path::new(
            "/home/firstname.lastname@ad.example.com/.ssh/evenkeel"
        )));
        assert!(!is_short(Path::new("/home/50%/.ssh/evenkeel")));
        let uid = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("evenkeel-ours-{}", std::process::id()));
        assert!(is_ours(&folder, uid));
        assert!(!is_ours(&folder, uid + 1), "it is somebody else's");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("set");
        assert!(!is_ours(&folder, uid), "others may look into it");
        std::fs::remove_dir(&folder).expect("removed");
    }
}
