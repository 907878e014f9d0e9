//! Container images without a registry: handed to the containerd of a cluster's node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::{
    command,
    error::{ClusterError, Doing},
    layout::State,
    oci::{self, File, Layer},
    programs,
};

/// Where containerd listens, as seen by the processes of the cluster.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Where the program is in an image of one program.
const PROGRAM: &str = "app";

/// Hands the program `binary` to a running cluster's containerd as image `name`.
///
/// A static program is the image's only file; with another come the shared libraries that it needs.
/// `name` is a full reference such as `maru.dev/hello:1`. Pods use it with `imagePullPolicy: IfNotPresent` or `Never`.
pub(crate) async fn load(state: &State, name: &str, binary: &Path) -> Result<(), ClusterError> {
    let read = |path: &Path| fs::read(path).doing(|| format!("reading {}", path.display()));
    let file = |path: String, content| File {
        path,
        content,
        mode: 0o755,
    };
    let mut files = vec![file(PROGRAM.to_owned(), read(binary)?)];
    for library in oci::libraries(&[binary]).await? {
        let path = library.display().to_string().trim_start_matches('/').to_owned();
        files.push(file(path, read(&library)?));
    }
    hand_over(state, name, &files).await
}

/// Hands several programs over as one image, as `maru-cluster pack` makes it; it runs the first one.
pub(crate) async fn load_programs(state: &State, name: &str, programs: &[&Path]) -> Result<(), ClusterError> {
    let files = oci::files_of(programs).await?;
    hand_over(state, name, &files).await
}

async fn hand_over(state: &State, name: &str, files: &[File]) -> Result<(), ClusterError> {
    let archive = oci::archive(name, files, Layer::Plain)?;
    // Clusters of one process get the same images at once.
    let name = format!(
        "maru-image-{}-{}-{}.tar",
        std::process::id(),
        state.number,
        &oci::hex(&archive)[..12]
    );
    let file = std::env::temp_dir().join(name);
    fs::write(&file, &archive).doing(|| format!("writing {}", file.display()))?;
    let outcome = import(state, &file).await;
    let _ = fs::remove_file(&file);
    outcome
}

/// Hands an image over that is in a file.
pub(crate) async fn import(state: &State, archive: &Path) -> Result<(), ClusterError> {
    if state.real_node.is_none() {
        return Err(ClusterError::Without("node that runs real containers"));
    }
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
