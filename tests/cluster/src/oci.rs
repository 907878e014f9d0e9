//! An OCI image as a file, without a container engine: programs with the libraries that they need, in one layer.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    command,
    error::{ClusterError, Doing},
    programs,
};

/// Whom containers run as: a number, so that `runAsNonRoot` can be checked. The usual one for images without users.
const USER: &str = "65532:65532";

/// Whom programs trust that speak TLS to others, as Debian's package `ca-certificates` has it. Left out where the machine has none.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A file of an image: where it is, what is in it, and its mode.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// Whether the layer is made small, for a registry, or left as it is, for a node on the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Plain,
    Small,
}

impl Layer {
    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Small => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// The files of an image of these programs: each under its own name at the root, what they are linked with, and whom they trust.
///
/// What only a debugger reads is left out.
pub(crate) async fn files_of(programs: &[&Path]) -> Result<Vec<File>, ClusterError> {
    let mut files = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(File {
            path: name,
            content: stripped(program).await?,
            mode: 0o755,
        });
    }
    for library in libraries(programs).await? {
        let content = fs::read(&library).doing(|| format!("reading {}", library.display()))?;
        let path = library.display().to_string().trim_start_matches('/').to_owned();
        files.push(File {
            path,
            content,
            mode: 0o755,
        });
    }
    if let Ok(content) = fs::read(AUTHORITIES) {
        files.push(File {
            path: AUTHORITIES.trim_start_matches('/').to_owned(),
            content,
            mode: 0o644,
        });
    }
    Ok(files)
}

/// A program without its symbols; as it is where the machine has no `strip`.
async fn stripped(program: &Path) -> Result<Vec<u8>, ClusterError> {
    let reading = || format!("reading {}", program.display());
    if !command::installed("strip") {
        return fs::read(program).doing(reading);
    }
    let file = tempfile::NamedTempFile::new().doing(|| "making a file".to_owned())?;
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(file.path()).arg(program);
    command::finish(&mut strip).await?;
    fs::read(file.path()).doing(reading)
}

/// The dynamic linker and the libraries of programs, at the paths where they look for them.
pub(crate) async fn libraries(programs: &[&Path]) -> Result<Vec<PathBuf>, ClusterError> {
    let mut libraries = Vec::new();
    for program in programs {
        // For a static program `ldd` says so, and fails.
        let listed = command::finish(Command::new("ldd").arg(program))
            .await
            .unwrap_or_default();
        libraries.extend(listed.lines().filter_map(|line| {
            let path = line.split_once("=> ").map_or(line, |(_, path)| path);
            let path = path.split_whitespace().next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        }));
    }
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

/// An OCI archive (<https://github.com/opencontainers/image-spec>, image layout in a tar file). It runs the first of its files.
pub(crate) fn archive(name: &str, files: &[File], layer: Layer) -> Result<Vec<u8>, ClusterError> {
    let entrypoint = files.first().map_or("", |file| file.path.as_str());
    let plain: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.content.as_slice(), file.mode))
        .collect();
    let plain = tar_of(&plain)?;
    let difference = named(&plain);
    let blob = match layer {
        Layer::Plain => plain,
        Layer::Small => small(&plain)?,
    };
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": [format!("/{entrypoint}")], "Env": ["PATH=/"], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [difference]},
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor(layer.media_type(), &blob)],
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
    let blobs = [&blob, &config, &manifest].map(|blob| format!("blobs/sha256/{}", hex(blob)));
    let [layer_path, config_path, manifest_path] = &blobs;
    tar_of(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644),
        ("index.json", &index, 0o644),
        (layer_path, &blob, 0o644),
        (config_path, &config, 0o644),
        (manifest_path, &manifest, 0o644),
    ])
}

fn small(bytes: &[u8]) -> Result<Vec<u8>, ClusterError> {
    // Without a time in it: the same programs are always the same image.
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    writer
        .write_all(bytes)
        .and_then(|()| writer.finish())
        .doing(|| "making a layer small".to_owned())
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
    json!({"mediaType": media_type, "digest": named(blob), "size": blob.len()})
}

fn named(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

/// The digest of some bytes, as hexadecimal digits.
pub(crate) fn hex(blob: &[u8]) -> String {
    // Images are large: this one is quick in every build.
    programs::hex(digest::digest(&digest::SHA256, blob).as_ref())
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
    use std::io::Read;

    fn program(content: &[u8]) -> Vec<File> {
        vec![File {
            path: "app".to_owned(),
            content: content.to_owned(),
            mode: 0o755,
        }]
    }

    /// The blobs of an archive by the name of their file.
    fn blobs(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut blobs = Vec::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/") {
                blobs.push((name.to_owned(), content));
            }
        }
        blobs
    }

    #[test]
    fn the_same_program_is_always_the_same_image() {
        for layer in [Layer::Plain, Layer::Small] {
            let once = archive("maru.dev/hello:1", &program(b"program"), layer).unwrap();
            let again = archive("maru.dev/hello:1", &program(b"program"), layer).unwrap();
            assert_eq!(once, again);
            let other = archive("maru.dev/hello:1", &program(b"another"), layer).unwrap();
            assert_ne!(once, other);
        }
    }

    #[test]
    fn every_blob_is_named_by_its_digest() {
        for layer in [Layer::Plain, Layer::Small] {
            let blobs = blobs(&archive("maru.dev/hello:1", &program(b"program"), layer).unwrap());
            assert_eq!(blobs.len(), 3);
            for (name, content) in blobs {
                assert_eq!(name, hex(&content));
            }
        }
    }

    #[test]
    fn a_small_layer_holds_the_same_files_under_the_same_digest() {
        let difference = |layer| {
            let blobs = blobs(&archive("maru.dev/hello:1", &program(&[7; 10_000]), layer).unwrap());
            let config: Value = serde_json::from_slice(&blobs[1].1).unwrap();
            (blobs[0].1.clone(), config["rootfs"]["diff_ids"][0].clone())
        };
        let (plain, of_plain) = difference(Layer::Plain);
        let (small, of_small) = difference(Layer::Small);
        assert_eq!(of_plain, of_small);
        assert!(small.len() * 10 < plain.len());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(small.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain);
    }
}
