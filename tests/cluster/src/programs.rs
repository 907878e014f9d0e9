//! The programs a cluster is made of: built from pinned Go modules when they are missing, and kept in the cache.

use std::{
    fmt::Write,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{
    command,
    error::{ClusterError, Doing},
    places,
    progress::Reporter,
};

const KUBERNETES: &str = "v1.37.2";
const ETCD: &str = "v3.7.3";
const KWOK: &str = "v0.8.0";
const CONTAINERD: &str = "v2.4.2";
const HELM_VERSION: &str = "v4.3.1";
/// Prometheus 3.16; its Go module counts from zero.
const PROMETHEUS_VERSION: &str = "v0.316.0";
const VERSITYGW_VERSION: &str = "v1.8.0";
/// Prometheus without its web pages, which are no part of the module, and with no other discovery than files and Kubernetes.
const PROMETHEUS_TAGS: &str = "remove_all_sd,enable_kubernetes_sd";

/// A command that is built from a Go module of this room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// The folder under `go/`.
    module: &'static str,
    package: &'static str,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The version of the module that the folder's `go.mod` pins.
    Pinned(&'static str),
    /// This room's own source: the version is a digest of it.
    Own,
}

const fn pinned(name: &'static str, module: &'static str, package: &'static str, version: &'static str) -> Program {
    Program {
        name,
        module,
        package,
        version: Version::Pinned(version),
    }
}

const fn own(name: &'static str) -> Program {
    Program {
        name,
        module: name,
        package: ".",
        version: Version::Own,
    }
}

#[rustfmt::skip]
mod list {
    use super::{CONTAINERD, ETCD, HELM_VERSION, KUBERNETES, KWOK, PROMETHEUS_VERSION, Program, VERSITYGW_VERSION, own, pinned};

    pub(crate) const ETCD_SERVER: Program = pinned("etcd", "etcd", "go.etcd.io/etcd/server/v3", ETCD);
    pub(crate) const API_SERVER: Program = pinned("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES);
    pub(crate) const CONTROLLERS: Program = pinned("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES);
    pub(crate) const SCHEDULER: Program = pinned("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", KUBERNETES);
    pub(crate) const KUBELET: Program = pinned("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", KUBERNETES);
    pub(crate) const KUBE_PROXY: Program = pinned("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", KUBERNETES);
    pub(crate) const KUBECTL: Program = pinned("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES);
    pub(crate) const KWOK_CONTROLLER: Program = pinned("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", KWOK);
    pub(crate) const CONTAINERD_SERVER: Program = pinned("containerd", "containerd", "github.com/containerd/containerd/v2/cmd/containerd", CONTAINERD);
    pub(crate) const SHIM: Program = pinned("containerd-shim-runc-v2", "containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", CONTAINERD);
    pub(crate) const CTR: Program = pinned("ctr", "containerd", "github.com/containerd/containerd/v2/cmd/ctr", CONTAINERD);
    pub(crate) const HELM: Program = pinned("helm", "helm", "helm.sh/helm/v4/cmd/helm", HELM_VERSION);
    pub(crate) const PROMETHEUS: Program = pinned("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", PROMETHEUS_VERSION);
    pub(crate) const PROMTOOL: Program = pinned("promtool", "prometheus", "github.com/prometheus/prometheus/cmd/promtool", PROMETHEUS_VERSION);
    pub(crate) const S3_SERVER: Program = pinned("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw", VERSITYGW_VERSION);
    pub(crate) const PAUSE: Program = own("pause");
    pub(crate) const HELLO: Program = own("hello");
}
pub(crate) use list::*;

/// What every cluster needs.
pub(crate) const CONTROL_PLANE: &[Program] = &[ETCD_SERVER, API_SERVER, CONTROLLERS, SCHEDULER, KUBECTL];
/// What a node with real containers needs beside them.
pub(crate) const REAL_NODE: &[Program] = &[CONTAINERD_SERVER, SHIM, CTR, KUBELET, PAUSE, HELLO];

impl Program {
    /// Where the built program is, whether it has been built or not.
    pub(crate) fn path(&self) -> Result<PathBuf, ClusterError> {
        if let Some(given) = self.given() {
            return Ok(given);
        }
        let version = match self.version {
            Version::Pinned(version) => version.to_owned(),
            Version::Own => digest_of(&places::go_modules()?.join(self.module))?,
        };
        Ok(bin_dir().join(format!("{}-{version}", self.name)))
    }

    /// The one that `KUBEBUILDER_ASSETS` names, as other operators' tests take it.
    fn given(&self) -> Option<PathBuf> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")?;
        let honoured = [ETCD_SERVER, API_SERVER].contains(self);
        let path = Path::new(&assets).join(self.name);
        (honoured && path.is_file()).then_some(path)
    }

    fn linker_flags(&self) -> String {
        let mut flags = "-s -w".to_owned();
        if self.module == "kubernetes" {
            for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                let _ = write!(flags, " -X {package}.gitVersion={KUBERNETES}");
            }
            flags.push_str(" -X k8s.io/component-base/version.gitMajor=1");
            flags.push_str(" -X k8s.io/component-base/version.gitMinor=37");
        }
        if self.module == "helm" {
            let _ = write!(flags, " -X helm.sh/helm/v4/internal/version.version={HELM_VERSION}");
        }
        if self.module == "prometheus" {
            let _ = write!(
                flags,
                " -X github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}"
            );
        }
        flags
    }

    fn tags(&self) -> &'static str {
        if self.module == "prometheus" {
            PROMETHEUS_TAGS
        } else {
            ""
        }
    }

    async fn build(&self, target: &Path) -> Result<(), ClusterError> {
        let unfinished = target.with_extension(format!("{}.unfinished", std::process::id()));
        let mut go = go()?;
        go.current_dir(places::go_modules()?.join(self.module))
            .env("CGO_ENABLED", "0")
            .args(["build", "-trimpath", "-tags", self.tags()])
            .args(["-ldflags", &self.linker_flags(), "-o"])
            .arg(&unfinished)
            .arg(self.package);
        let built = command::finish(&mut go).await;
        if built.is_ok() {
            fs::rename(&unfinished, target).doing(|| format!("moving {} there", target.display()))?;
        } else {
            let _ = fs::remove_file(&unfinished);
        }
        built.map(drop)
    }
}

/// Builds those of `programs` that the cache does not have. Of several processes one builds and the others wait.
pub(crate) async fn ensure(programs: &[Program], reporter: &Reporter) -> Result<(), ClusterError> {
    for program in programs {
        let path = program.path()?;
        if path.is_file() {
            continue;
        }
        places::create(&bin_dir())?;
        let _lock = lock_builds(reporter).await?;
        if !path.is_file() {
            let step = format!("building {}", program.name);
            reporter.long_step(&step, program.build(&path)).await?;
        }
    }
    Ok(())
}

/// The Helm that the charts are installed with, built when it is missing.
///
/// # Errors
/// When Go is missing or the build fails.
pub async fn helm() -> Result<PathBuf, ClusterError> {
    ensure(&[HELM], &Reporter::tests()).await?;
    HELM.path()
}

/// The kubectl of the cluster's version; it is built if it is not there.
///
/// # Errors
/// When Go is missing or the build fails.
pub async fn kubectl() -> Result<PathBuf, ClusterError> {
    ensure(&[KUBECTL], &Reporter::tests()).await?;
    KUBECTL.path()
}

/// Prometheus, built when it is missing. It has no web pages.
///
/// # Errors
/// When Go is missing or the build fails.
pub async fn prometheus() -> Result<PathBuf, ClusterError> {
    ensure(&[PROMETHEUS], &Reporter::tests()).await?;
    PROMETHEUS.path()
}

/// The promtool of the same version: it checks rules and writes history that Prometheus can serve.
///
/// # Errors
/// When Go is missing or the build fails.
pub async fn promtool() -> Result<PathBuf, ClusterError> {
    ensure(&[PROMTOOL], &Reporter::tests()).await?;
    PROMTOOL.path()
}

/// An S3 server over a directory, built when it is missing: `versitygw`. It refuses to overwrite where it is asked to, as S3 does.
///
/// # Errors
/// When Go is missing or the build fails.
pub(crate) async fn s3_server() -> Result<PathBuf, ClusterError> {
    ensure(&[S3_SERVER], &Reporter::tests()).await?;
    S3_SERVER.path()
}

pub(crate) fn bin_dir() -> PathBuf {
    places::cache_dir().join("bin")
}

/// The first eight hexadecimal digits of a digest of a folder's Go files.
fn digest_of(folder: &Path) -> Result<String, ClusterError> {
    let entries = fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(fs::read(&file).doing(|| format!("reading {}", file.display()))?);
    }
    Ok(hex(&digest.finalize()[..4]))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn go() -> Result<Command, ClusterError> {
    if command::installed("go") {
        return Ok(Command::new("go"));
    }
    Err(ClusterError::Missing {
        program: "go".to_owned(),
        hint: "the cluster is built from Go modules; install Go 1.26 or newer".to_owned(),
    })
}

/// Waits until no other process builds. A future that is dropped stops waiting.
pub(crate) async fn lock_builds(reporter: &Reporter) -> Result<File, ClusterError> {
    let path = bin_dir().join(".lock");
    let file = File::create(&path).doing(|| format!("creating {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    reporter.note("another process is building the cluster's programs; waiting for it");
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(TryLockError::Error(source)) => {
                return Err(source).doing(|| format!("locking {}", path.display()));
            }
        }
    }
}
