//! Files of this machine that are brought to hosts: what they are by their content. A name says little of that:
//! the next release may well be called as the one before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::inventory::Inventory;

/// What a file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// SHA-256 of its content, hexadecimal; empty for an archive of images, which is too large to be read for each
    /// plan.
    pub sha256: String,
    /// Names of the images in it, as containerd will list them; none if it is no archive of images, or a
    /// compressed one.
    pub images: Vec<String>,
}

/// All files of an inventory that can be read, each once. One that cannot is told of when it is to be copied.
pub(super) fn read(inventory: &Inventory) -> BTreeMap<PathBuf, Brought> {
    let balancer = &inventory.balancer;
    let images = inventory
        .artefacts
        .images
        .iter()
        .map(|image| &image.archive);
    let programs = balancer.package.iter().chain(&balancer.binary);
    let programs = programs.filter_map(|path| {
        let sha256 = sum(path).ok()?;
        let images = Vec::new();
        Some((path.clone(), Brought { sha256, images }))
    });
    let archives = images.filter_map(|path| {
        let sha256 = String::new();
        let images = images_in(path).ok()?;
        Some((path.clone(), Brought { sha256, images }))
    });
    programs.chain(archives).collect()
}

fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => sum.update(&buffer[..read]),
        }
    }
    let digits = sum.finish();
    Ok(digits
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Bytes of a header of tar, and what all else is padded to.
const BLOCK: usize = 512;
/// The longest of the two lists that is read; they have a few hundred bytes an image.
const LONGEST_LIST_BYTES: u64 = 4 << 20;

/// The names that `docker save` (manifest.json) and `ctr images export` (index.json) wrote into an archive.
fn images_in(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let mut names = Vec::new();
    let mut header = [0; BLOCK];
    while file.read_exact(&mut header).is_ok() && header[257..262] == *b"ustar" {
        let name = text(&header[..100]);
        let bytes = u64::from_str_radix(&text(&header[124..136]), 8).map_err(io::Error::other)?;
        let padded = bytes.next_multiple_of(BLOCK as u64);
        let name = name.trim_start_matches("./");
        if matches!(name, "manifest.json" | "index.json") && bytes <= LONGEST_LIST_BYTES {
            let mut list = Vec::new();
            (&mut file).take(bytes).read_to_end(&mut list)?;
            file.seek(SeekFrom::Current((padded - bytes).cast_signed()))?;
            let list: Value = serde_json::from_slice(&list).map_err(io::Error::other)?;
            names.extend(names_of(&list));
        } else {
            file.seek(SeekFrom::Current(padded.cast_signed()))?;
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A field of a header: what comes before its first zero or blank.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| matches!(byte, 0 | b' '));
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

fn names_of(list: &Value) -> Vec<String> {
    let saved = list.as_array().into_iter().flatten();
    let tags = saved.flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
    let exported = list["manifests"].as_array().into_iter().flatten();
    let annotated = exported.map(|image| &image["annotations"]["io.containerd.image.name"]);
    tags.chain(annotated)
        .filter_map(Value::as_str)
        // By digest alone it is not listed.
        .filter(|name| !name.contains('@'))
        .map(full)
        .collect()
}

/// The whole name of an image: Docker leaves its own registry out.
fn full(name: &str) -> String {
    match name.split_once('/') {
        Some((registry, _)) if registry.contains(['.', ':']) || registry == "localhost" => {
            name.to_owned()
        }
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Image;
    use crate::plan::hash;
    use crate::plan::steps::example::{Stubs, inventory};

    #[test]
    fn archives_say_what_is_in_them() {
        let folder = Stubs::new("brought");
        std::fs::create_dir_all(folder.path("layer")).unwrap();
        std::fs::write(folder.path("layer/large"), vec![7; 5000]).unwrap();
        let saved =
            r#"[{"RepoTags": ["registry.k8s.io/pause:3.10", "busybox:1", "bitnami/etcd:3"]}]"#;
        std::fs::write(folder.path("manifest.json"), saved).unwrap();
        let exported = r#"{"manifests": [{"annotations": {"io.containerd.image.name": "registry.k8s.io/pause:3.10"}}]}"#;
        std::fs::write(folder.path("index.json"), exported).unwrap();
        let archive = folder.path("images.tar");
        let made = folder.run(&format!(
            "cd {}\ntar cf images.tar layer ./manifest.json index.json\n",
            folder.path("")
        ));
        assert!(made.status.success(), "{made:?}");
        let mut inventory = inventory();
        inventory.balancer.binary = Some("/nowhere/evenkeel".into());
        inventory.artefacts.images = vec![Image {
            archive: archive.clone().into(),
        }];
        let found = read(&inventory);
        assert_eq!(found.len(), 1, "what cannot be read is not spoken of");
        let found = &found[Path::new(&archive)];
        assert_eq!(
            found.images,
            [
                "docker.io/bitnami/etcd:3",
                "docker.io/library/busybox:1",
                "registry.k8s.io/pause:3.10"
            ]
        );
    }

    #[test]
    fn a_program_is_known_by_its_content() {
        let folder = Stubs::new("no-archive").with("evenkeel", "exit 0\n");
        let mut inventory = inventory();
        let path = PathBuf::from(folder.path("evenkeel"));
        inventory.balancer.binary = Some(path.clone());
        let found = read(&inventory);
        let expected = Brought {
            sha256: hash(std::fs::read(&path).unwrap()),
            images: Vec::new(),
        };
        assert_eq!(found[&path], expected);
    }
}
