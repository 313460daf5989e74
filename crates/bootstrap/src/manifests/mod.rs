//! What is applied to the cluster with kubectl: read or downloaded on this machine, and made to say the
//! cluster's pod networks. Knows nothing of hosts.

mod render;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;

pub use render::RenderError;

use crate::facts::Manifest;
use crate::inventory::{Cni, Inventory, Source};
use crate::plan::hash;

/// Why a manifest cannot be had.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file.
    #[error("{path}: {cause}")]
    Read {
        /// Its path.
        path: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The address.
    #[error(
        "{url} could not be downloaded: {said}; download it elsewhere and name the file in cluster.toml"
    )]
    Download {
        /// The address.
        url: String,
        /// What curl said.
        said: String,
    },
    /// Another text than was expected.
    #[error(
        "{url} has the SHA-256 {found}, and {wanted} was wanted: it is not the file that cluster.toml means"
    )]
    Sum {
        /// The address.
        url: String,
        /// What it should have been.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// It is no text.
    #[error("{source_name} is no UTF-8")]
    NoText {
        /// The file or address.
        source_name: String,
    },
    /// It cannot be made to say the pod networks.
    #[error("{source_name}: {cause}")]
    Render {
        /// The file or address.
        source_name: String,
        /// Why not.
        #[source]
        cause: RenderError,
    },
}

/// Longest wait for a download.
const DOWNLOAD_SECONDS: u64 = 120;
/// Larger than any manifest: what is longer is something else.
const MOST_BYTES: &str = "33554432";

/// All manifests of an inventory: the network plugin's, rendered, then the others as they are.
///
/// # Errors
///
/// Each that cannot be had.
pub async fn load(inventory: &Inventory) -> Result<Vec<Manifest>, Vec<ManifestError>> {
    let mut manifests = Vec::new();
    let mut errors = Vec::new();
    if let Some(source) = source(&inventory.cni) {
        match text(source).await.and_then(|text| {
            render::render(&inventory.cni, &inventory.pod_cidrs, text).map_err(|cause| {
                ManifestError::Render {
                    source_name: name(source),
                    cause,
                }
            })
        }) {
            Ok(text) => manifests.push(Manifest {
                name: "cni".to_owned(),
                source: name(source),
                text,
            }),
            Err(error) => errors.push(error),
        }
    }
    let paths = &inventory.artefacts.manifests;
    for (path, name) in paths.iter().zip(keys(paths)) {
        match read(path) {
            Ok(text) => manifests.push(Manifest {
                name,
                source: path.display().to_string(),
                text,
            }),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(manifests)
    } else {
        Err(errors)
    }
}

fn source(cni: &Cni) -> Option<&Source> {
    match cni {
        Cni::Flannel { manifest } | Cni::Calico { manifest } | Cni::Manifest(manifest) => {
            Some(manifest)
        }
        Cni::None => None,
    }
}

fn name(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Url { url, .. } => url.clone(),
    }
}

/// A key of a `ConfigMap` for each, that stands alone in a path of kubectl's: `manifest-metrics-server`. Files of
/// one name are told apart by as many of their folders as it takes: `manifest-shop-app`; one that is named
/// twice, by its number.
fn keys(paths: &[PathBuf]) -> Vec<String> {
    let key = |path: &Path, folders: usize| {
        let mut words: Vec<_> = path.parent().into_iter().flat_map(Path::iter).collect();
        words.drain(..words.len().saturating_sub(folders));
        words.extend(path.file_stem());
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let plain = words.join("-").to_lowercase();
        let plain = plain.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        format!("manifest-{plain}")
    };
    let alone = |path: &PathBuf, folders: usize| {
        let mut same = paths
            .iter()
            .filter(|other| key(other, folders) == key(path, folders));
        same.nth(1).is_none()
    };
    let deepest = |path: &PathBuf| path.iter().count();
    let mut all: Vec<String> = Vec::new();
    for path in paths {
        let folders = (0..deepest(path)).find(|folders| alone(path, *folders));
        all.push(match folders {
            Some(folders) => key(path, folders),
            None => format!("{}-{}", key(path, 0), all.len() + 1),
        });
    }
    all
}

async fn text(source: &Source) -> Result<String, ManifestError> {
    match source {
        Source::File(path) => read(path),
        Source::Url { url, sha256 } => download(url, sha256.as_deref()).await,
    }
}

fn read(path: &Path) -> Result<String, ManifestError> {
    let bytes = std::fs::read(path).map_err(|cause| ManifestError::Read {
        path: path.display().to_string(),
        cause,
    })?;
    String::from_utf8(bytes).map_err(|_| ManifestError::NoText {
        source_name: path.display().to_string(),
    })
}

/// By this machine's curl, which knows its proxy and its authorities.
async fn download(url: &str, wanted: Option<&str>) -> Result<String, ManifestError> {
    let failed = |said: String| ManifestError::Download {
        url: url.to_owned(),
        said,
    };
    let seconds = DOWNLOAD_SECONDS.to_string();
    let run = Command::new("curl")
        .args([
            "-fsSL",
            "--proto",
            "=https,http",
            "--proto-redir",
            "=https",
            "--max-time",
            &seconds,
        ])
        .args(["--max-filesize", MOST_BYTES, "--", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let limit = Duration::from_secs(DOWNLOAD_SECONDS + 5);
    let output = tokio::time::timeout(limit, run)
        .await
        .map_err(|_| failed(format!("curl did not end within {} s", limit.as_secs())))?
        .map_err(|cause| failed(format!("curl could not be started: {cause}")))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    let found = hash(&output.stdout);
    match wanted {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => Err(ManifestError::Sum {
            url: url.to_owned(),
            wanted: wanted.to_owned(),
            found,
        }),
        _ => String::from_utf8(output.stdout).map_err(|_| ManifestError::NoText {
            source_name: url.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn keys_stand_alone_in_a_path() {
        let check = |paths: &[&str], expected: &[&str]| {
            let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
            assert_eq!(keys(&paths), expected);
        };
        check(
            &["/a/Metrics_Server.v1.yaml"],
            &["manifest-metrics-server-v1"],
        );
        check(
            &["a/app.yaml", "b/app.yaml", "b/web.yaml"],
            &["manifest-a-app", "manifest-b-app", "manifest-web"],
        );
        check(
            &["/a/x/app.yaml", "/b/x/app.yaml"],
            &["manifest-a-x-app", "manifest-b-x-app"],
        );
        check(
            &["app.yaml", "app.yaml"],
            &["manifest-app-1", "manifest-app-2"],
        );
    }

    #[tokio::test]
    async fn a_download_is_held_to_its_sum() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/cni.yml", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(3) {
                let mut stream = stream.unwrap();
                let mut ask = [0; 1024];
                let _ = stream.read(&mut ask).unwrap();
                let body = "kind: List\n";
                write!(
                    stream,
                    "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
            }
        });
        let sum = hash("kind: List\n");
        assert_eq!(download(&url, None).await.unwrap(), "kind: List\n");
        assert_eq!(
            download(&url, Some(&sum.to_uppercase())).await.unwrap(),
            "kind: List\n"
        );
        let error = download(&url, Some(&hash("another"))).await.unwrap_err();
        assert!(error.to_string().contains(&sum), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_said_all_at_once() {
        let mut inventory = crate::plan::steps::example::inventory();
        inventory.cni = Cni::Manifest(Source::Url {
            url: "ftp://127.0.0.1/x".to_owned(),
            sha256: None,
        });
        inventory.artefacts.manifests = vec!["/nowhere/a.yml".into()];
        let errors = load(&inventory).await.unwrap_err();
        let [first, second] = &errors[..] else {
            panic!("{errors:?}")
        };
        assert!(
            first
                .to_string()
                .starts_with("ftp://127.0.0.1/x could not be downloaded: curl"),
            "{first}"
        );
        assert!(
            second.to_string().starts_with("/nowhere/a.yml: "),
            "{second}"
        );
    }
}
