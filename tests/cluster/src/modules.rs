//! YAML files that come with Go modules, kept in the cache so that a start needs neither Go nor its module cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;

use crate::{
    command,
    error::{ClusterError, Doing},
    places, programs,
    progress::Reporter,
};

/// Some folders of a module, pinned by version and by Go's digest of the module.
pub(crate) struct Module {
    name: &'static str,
    path: &'static str,
    version: &'static str,
    sum: &'static str,
    folders: &'static [&'static str],
}

/// kwok's own rules for simulated nodes and the pods on them.
pub(crate) const KWOK_STAGES: Module = Module {
    name: "kwok-stages",
    path: "sigs.k8s.io/kwok",
    version: "v0.8.0",
    sum: "h1:OTIOTwgROqPMovcTwxICx2eYQ4AwLpSx5EpjbDKF4SQ=",
    folders: &["kustomize/stage/node/fast", "kustomize/stage/pod/fast"],
};

/// The Gateway API's custom resource definitions, standard channel.
pub(crate) const GATEWAY_API: Module = Module {
    name: "gateway-api",
    path: "sigs.k8s.io/gateway-api",
    version: "v1.7.0",
    sum: "h1:duVnm7nO6oXfMMUWfcDoBph47CYR/ME3NGxccOVglaY=",
    folders: &["config/crd/standard"],
};

/// What `go mod download -json` says.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    sum: Option<String>,
    error: Option<String>,
}

/// The folder with the module's YAML files, fetched when it is missing.
pub(crate) async fn ensure(module: &Module, reporter: &Reporter) -> Result<PathBuf, ClusterError> {
    let kept = places::cache_dir().join(format!("{}-{}", module.name, module.version));
    if kept.is_dir() {
        return Ok(kept);
    }
    places::create(&programs::bin_dir())?;
    let _lock = programs::lock_builds(reporter).await?;
    if kept.is_dir() {
        return Ok(kept);
    }
    let step = format!("fetching {} {}", module.name, module.version);
    let source = reporter.long_step(&step, download(module)).await?;
    let unfinished = kept.with_extension("unfinished");
    places::create(&unfinished)?;
    for folder in module.folders {
        copy_yaml(&source.join(folder), &unfinished)?;
    }
    fs::rename(&unfinished, &kept).doing(|| format!("keeping {}", kept.display()))?;
    Ok(kept)
}

/// Where Go has put the module.
async fn download(module: &Module) -> Result<PathBuf, ClusterError> {
    let name = format!("{}@{}", module.path, module.version);
    let output = programs::go()?
        .current_dir(places::cache_dir())
        .args(["mod", "download", "-json", &name])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .doing(|| "running go".to_owned())?;
    // Go unpacks a module that asks for a newer Go, and then complains. For its YAML files this Go is new enough.
    let answer: Downloaded = serde_json::from_slice(&output.stdout)?;
    let folder = command::finish(programs::go()?.args(["env", "GOMODCACHE"])).await?;
    let folder = Path::new(folder.trim()).join(&name);
    if answer.sum.as_deref() == Some(module.sum) && folder.is_dir() {
        return Ok(folder);
    }
    Err(ClusterError::Command {
        command: format!("go mod download -json {name}"),
        status: output.status.to_string(),
        output: answer
            .error
            .unwrap_or_else(|| format!("the module's digest is not {}", module.sum)),
    })
}

fn copy_yaml(from: &Path, to: &Path) -> Result<(), ClusterError> {
    for entry in fs::read_dir(from).doing(|| format!("reading {}", from.display()))? {
        let path = entry.doing(|| format!("reading {}", from.display()))?.path();
        let kustomization = path.file_stem().is_some_and(|stem| stem == "kustomization");
        if let Some(name) = path.file_name()
            && path.extension().is_some_and(|extension| extension == "yaml")
            && !kustomization
        {
            let text = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            fs::write(to.join(name), text).doing(|| format!("writing {}", to.display()))?;
        }
    }
    Ok(())
}
