//! The parts of the demonstration, and how it speaks with them.

use maru_test_cluster::Cluster;
use serde_json::Value;
use std::error::Error;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::process::Command;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Where the operator runs.
pub(crate) const OPERATORS_NAMESPACE: &str = "maru-system";

/// The parts of the demonstration.
pub(crate) struct Parts {
    pub(crate) cluster: Cluster,
    /// The root of the repository.
    pub(crate) repository: PathBuf,
    /// Where this program and its siblings are.
    pub(crate) programs: PathBuf,
    /// Files of this one performance.
    pub(crate) folder: tempfile::TempDir,
    pub(crate) began: Instant,
    steps: AtomicU32,
}

impl Parts {
    pub(crate) fn new(cluster: Cluster, began: Instant) -> Outcome<Self> {
        Ok(Self {
            cluster,
            repository: Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?,
            programs: std::env::current_exe()?
                .parent()
                .map(Path::to_path_buf)
                .unwrap_or_default(),
            folder: tempfile::Builder::new().prefix("maru-demo-").tempdir()?,
            began,
            steps: AtomicU32::new(1),
        })
    }

    /// Ends everything.
    pub(crate) async fn take_away(self) -> Outcome<()> {
        self.cluster.stop().await?;
        Ok(self.folder.close()?)
    }

    /// Says what happens now.
    pub(crate) fn say(&self, what: &str) {
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        println!("\n{step}. {what}   ({} s)", self.began.elapsed().as_secs());
    }

    /// A program of this repository.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A folder with the commands that people use: `kubectl` of the cluster's version, and `kubectl maru`.
    pub(crate) async fn commands(&self) -> Outcome<PathBuf> {
        let folder = self.folder.path().join("bin");
        std::fs::create_dir_all(&folder)?;
        let kubectl = maru_test_cluster::kubectl().await?;
        for (name, program) in [("kubectl", kubectl), ("kubectl-maru", self.program("kubectl-maru"))] {
            symlink(program, folder.join(name))?;
        }
        Ok(folder)
    }

    /// Runs kubectl, shows what was said to it and what it answers.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Outcome<()> {
        println!("   $ kubectl {}", arguments.join(" "));
        print!("{}", indented(&self.asked(arguments).await?));
        Ok(())
    }

    /// Runs kubectl and gives what it answers.
    pub(crate) async fn asked(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(maru_test_cluster::kubectl().await?);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(arguments);
        finish(&mut command).await
    }

    /// The JSON that `kubectl get … -o json` gives.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let arguments = [&["get"], arguments, &["-o", "json"]].concat();
        Ok(serde_json::from_str(&self.asked(&arguments).await?)?)
    }

    /// Applies a file of the story, with the words in `${…}` filled in, and gives where the filled one is.
    pub(crate) async fn apply(&self, file: &str, words: &[(&str, &str)]) -> Outcome<PathBuf> {
        let path = self.filled(file, file, words)?;
        let shown = path.display().to_string();
        self.kubectl(&["apply", "-f", &shown]).await?;
        Ok(path)
    }

    /// Writes a file of the story under another name, with the words in `${…}` filled in.
    pub(crate) fn filled(&self, file: &str, name: &str, words: &[(&str, &str)]) -> Outcome<PathBuf> {
        let mut text = std::fs::read_to_string(self.repository.join("tests/demo/story").join(file))?;
        for (word, value) in words {
            text = text.replace(&format!("${{{word}}}"), value);
        }
        if let Some((_, missing)) = text.split_once("${") {
            return Err(format!("{file}: nothing fills ${{{missing:.20}").into());
        }
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Asks for so many pods of the document system.
    pub(crate) async fn scale_documents(&self, pods: u32) -> Outcome<()> {
        let patch = format!(r#"[{{"op":"replace","path":"/spec/components/0/replicas/fixed","value":{pods}}}]"#);
        let of = ["patch", "agencysystem", "docs", "-n", "mois", "--type=json", "-p"];
        self.kubectl(&[&of[..], &[patch.as_str()]].concat()).await
    }

    /// Waits until objects are ready, and shows the command.
    pub(crate) async fn ready(&self, arguments: &[&str]) -> Outcome<()> {
        let wait = ["wait", "--for=condition=Ready", "--timeout=120s"];
        self.kubectl(&[&wait, arguments].concat()).await
    }
}

/// Looks again until it gives a value, for two minutes at most; then fails with what it said last.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let began = Instant::now();
    loop {
        let last = match look().await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => "not yet".to_owned(),
            Err(error) => error.to_string(),
        };
        if began.elapsed() > Duration::from_mins(2) {
            return Err(format!("waited two minutes for {what}: {last}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Runs a program to its end and gives what it printed.
pub(crate) async fn finish(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let program = command.as_std().get_program().display().to_string();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} ended with {}\n{printed}{said}", output.status).into())
}

/// Text as the demonstration shows what others say.
pub(crate) fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["     ", line, "\n"]).collect()
}
