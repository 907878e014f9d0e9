//! Container images without a registry: a program, with the libraries it needs, becomes a one-layer OCI archive.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{
    command,
    error::{ClusterError, Doing},
    layout::State,
    programs,
};

/// Where containerd listens, as seen by the processes of the cluster.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Whom containers run as: a number, so that `runAsNonRoot` can be checked. The usual one for images without users.
const USER: &str = "65532:65532";

/// Where the program is in the image.
const PROGRAM: &str = "app";

/// Hands the program `binary` to a running cluster's containerd as image `name`.
///
/// A static program is the image's only file; with another come the shared libraries that it needs.
/// `name` is a full reference such as `maru.dev/hello:1`. Pods use it with `imagePullPolicy: IfNotPresent` or `Never`.
pub(crate) async fn load(state: &State, name: &str, binary: &Path) -> Result<(), ClusterError> {
    if state.real_node.is_none() {
        return Err(ClusterError::Without("node that runs real containers"));
    }
    let program = fs::read(binary).doing(|| format!("reading {}", binary.display()))?;
    let mut files = vec![(PROGRAM.to_owned(), program)];
    files.extend(libraries(binary).await?);
    let archive = archive(name, &files)?;
    let file = std::env::temp_dir().join(format!(
        "maru-image-{}-{}.tar",
        std::process::id(),
        &hex(&archive)[..12]
    ));
    fs::write(&file, &archive).doing(|| format!("writing {}", file.display()))?;
    let outcome = import(state, &file).await;
    let _ = fs::remove_file(&file);
    outcome
}

/// The dynamic linker and the libraries of a program, at the paths where the program looks for them.
async fn libraries(binary: &Path) -> Result<Vec<(String, Vec<u8>)>, ClusterError> {
    let listed = command::finish(Command::new("ldd").arg(binary)).await;
    // For a static program `ldd` says so, and fails.
    let listed = listed.unwrap_or_default();
    let paths = listed.lines().filter_map(|line| {
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        path.split_whitespace().next().filter(|path| path.starts_with('/'))
    });
    paths
        .map(|path| {
            let library = fs::read(path).doing(|| format!("reading {path}"))?;
            Ok((path.trim_start_matches('/').to_owned(), library))
        })
        .collect()
}

async fn import(state: &State, archive: &Path) -> Result<(), ClusterError> {
    let mut ctr = Command::new(programs::CTR.path()?);
    ctr.arg("--address")
        .arg(socket(state))
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive)
        .stdin(Stdio::null());
    command::finish(&mut ctr).await.map(drop)
}

/// The socket as seen from outside: through the root folder of a process that is inside.
pub(crate) fn socket(state: &State) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{CONTAINERD_SOCKET}", state.inner))
}

/// An OCI archive (<https://github.com/opencontainers/image-spec>, image layout in a tar file) of a few files.
fn archive(name: &str, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ClusterError> {
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice(), 0o755))
        .collect();
    let layer = tar_of(&files)?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": [format!("/{PROGRAM}")], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name,
    });
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }))?;
    let blobs = [&layer, &config, &manifest].map(|blob| format!("blobs/sha256/{}", hex(blob)));
    let [layer_path, config_path, manifest_path] = &blobs;
    tar_of(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644),
        ("index.json", &index, 0o644),
        (layer_path, &layer, 0o644),
        (config_path, &config, 0o644),
        (manifest_path, &manifest, 0o644),
    ])
}

fn tar_of(files: &[(&str, &[u8], u32)]) -> Result<Vec<u8>, ClusterError> {
    let writing = || "writing a tar file".to_owned();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        // No time and no owner: the same program is always the same image.
        header.set_mtime(0);
        tar.append_data(&mut header, path, *content).doing(writing)?;
    }
    let mut bytes = tar.into_inner().doing(writing)?;
    bytes.flush().doing(writing)?;
    Ok(bytes)
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    programs::hex(&Sha256::digest(blob))
}

/// The machine's architecture as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(content: &[u8]) -> Vec<(String, Vec<u8>)> {
        vec![(PROGRAM.to_owned(), content.to_owned())]
    }

    #[test]
    fn the_same_program_is_always_the_same_image() {
        let once = archive("maru.dev/hello:1", &program(b"program")).unwrap();
        assert_eq!(once, archive("maru.dev/hello:1", &program(b"program")).unwrap());
        assert_ne!(once, archive("maru.dev/hello:1", &program(b"another")).unwrap());
    }

    #[test]
    fn every_blob_is_named_by_its_digest() {
        let bytes = archive("maru.dev/hello:1", &program(b"program")).unwrap();
        let mut blobs = 0;
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(name, hex(&content));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }
}
