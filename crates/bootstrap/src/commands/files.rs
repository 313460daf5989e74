//! What commands write on the operator's machine, and the changes they make to `cluster.toml`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use super::Stop;
use super::open::{complaint, inventory as warned, tell};
use crate::cli::NewNode;
use crate::files::{self, Readers};
use crate::inventory;
use crate::operations::nodes::{self, EditError};

pub(super) fn read(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path)
        .map_err(|cause| Stop::Mistake(format!("cannot read {}: {cause}", path.display())))
}

pub(super) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Stop> {
    files::replace(path, bytes, readers)
        .map_err(|cause| Stop::Failed(format!("cannot write {}: {cause}", path.display())))
}

/// Writes a node into the file; `apply` has it join.
pub(super) fn add(file: &Path, new: &NewNode) -> Result<ExitCode, Stop> {
    // What is wrong with it before is not this node's doing.
    inventory::load(file).map_err(|problems| Stop::Mistake(complaint(&problems)))?;
    let text = edited(file, |text| {
        nodes::add(text, &new.name, new.role.into(), new.address)
    })?;
    replace(file, text.as_bytes(), Readers::All)?;
    // Said of what it is now.
    warned(file)?;
    tell(&format!(
        "{} is in {}; `evenkeel-bootstrap apply` has it join",
        new.name,
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The text of `file` after a change, if it is a `cluster.toml` then. Nothing is written.
pub(super) fn edited(
    file: &Path,
    change: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<String, Stop> {
    let before = read(file)?;
    let text =
        change(&before).map_err(|error| Stop::Mistake(format!("{}: {error}", file.display())))?;
    match inventory::load_text(file, text.clone().into_bytes()) {
        Ok(_) => Ok(text),
        Err(problems) => Err(Stop::Mistake(format!(
            "{} stays as it is; with that change it would have mistakes:\n{}",
            file.display(),
            complaint(&problems)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::cli::NewRole;

    const TEXT: &str = "[cluster]\nkubernetes = '1.36.2'\nvip = '10.0.1.10'\n\n\
        [[node]]\nname = 'lb'\nrole = 'lb'\naddress = '10.0.1.10'\n\n\
        [[node]]\nname = 'master1'\nrole = 'control-plane'\naddress = '10.0.1.11'\n";

    #[test]
    fn a_node_that_the_reader_would_refuse_is_not_added() {
        let folder = std::env::temp_dir().join(format!("evenkeel-add-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (real, link) = (folder.join("real"), folder.join("cluster.toml"));
        fs::write(&real, TEXT).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("real", &link).unwrap();
        let try_with = |name: &str, address: &str, role| {
            let new = NewNode {
                name: name.to_owned(),
                address: address.parse().unwrap(),
                role,
            };
            add(&link, &new)
        };
        for (name, address, role, why) in [
            (
                "w1",
                "10.0.1.11",
                NewRole::Worker,
                "the address of another node already",
            ),
            (
                "Worker_2",
                "10.0.1.13",
                NewRole::Worker,
                "such as \"worker-2\"",
            ),
            (
                "lb2",
                "10.0.1.9",
                NewRole::Lb,
                "give the VIP an address of its own",
            ),
            (
                "w1",
                "10.244.3.1",
                NewRole::Worker,
                "lies in the pod network",
            ),
            (
                "master1",
                "10.0.1.13",
                NewRole::Worker,
                "there is a node master1 already",
            ),
        ] {
            let Err(Stop::Mistake(message)) = try_with(name, address, role) else {
                panic!("{name} {address} was taken")
            };
            assert!(
                message.contains(why) && message.contains("cluster.toml"),
                "{message}"
            );
            assert_eq!(fs::read_to_string(&real).unwrap(), TEXT);
        }
        try_with("w1", "10.0.1.13", NewRole::Worker).unwrap();
        let loaded = inventory::load(&link).unwrap().inventory;
        assert_eq!(loaded.nodes[2].name, "w1");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let new = NewNode {
            name: "w2".to_owned(),
            address: [10, 0, 1, 14].into(),
            role: NewRole::Worker,
        };
        let Err(Stop::Mistake(message)) = add(&folder.join("absent.toml"), &new) else {
            panic!("a file came from nowhere")
        };
        assert!(
            message.ends_with("no such file; 'evenkeel-bootstrap init' writes one"),
            "{message}"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
