//! Package files that are brought along from this machine, for sites whose hosts have no repository.

use std::path::{Path, PathBuf};

use crate::facts::{HostFacts, PackageManager};
use crate::inventory::Inventory;
use crate::plan::{Action, quote, seconds};

/// Where files are copied to before they are installed.
const FOLDER: &str = "/var/lib/evenkeel-bootstrap/files";
/// A package manager may wait for another one, and for slow mirrors.
const INSTALL_LIMIT: u64 = 900;

/// Copies them and installs them together, so that they may depend on each other. A settings file that is
/// there stays as it is.
pub(super) fn install(inventory: &Inventory, host: &HostFacts, files: &[PathBuf]) -> Vec<Action> {
    let to = |from: &Path| {
        let name = from.file_name().unwrap_or(from.as_os_str());
        format!("{FOLDER}/{}", name.to_string_lossy())
    };
    let mut actions: Vec<_> = files
        .iter()
        .map(|from| Action::Upload {
            from: from.clone(),
            to: to(from),
            mode: 0o644,
            temporary: true,
        })
        .collect();
    let names: Vec<_> = files.iter().map(|from| quote(&to(from))).collect();
    let names = names.join(" ");
    let command = match (host.package_manager, inventory.artefacts.offline) {
        (Some(PackageManager::Dnf), true) => format!("rpm -U --replacepkgs {names}"),
        (Some(PackageManager::Dnf), false) => format!("dnf -q -y install {names}"),
        (_, true) => format!("dpkg --force-confold -i {names}"),
        (_, false) => format!(
            "apt-get -qq -o DPkg::Lock::Timeout=300 -o DPkg::Options::=--force-confold \
             install --no-install-recommends -y {names}"
        ),
    };
    let script = format!("export DEBIAN_FRONTEND=noninteractive\n{command}\n");
    actions.push(Action::Run {
        script: script.into(),
        limit: seconds(INSTALL_LIMIT),
    });
    actions
}
