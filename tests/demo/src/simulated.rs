//! The main job, played through with real parts: a real cluster, an agency, a system that runs, its pods metered, its bill.

use clap::Parser;
use maru_test_cluster::{Cluster, ClusterOptions, cache_dir};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Plays the demonstration and prints the bill at its end.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long the system runs before the bill, in seconds.
    #[arg(long, env = "DEMO_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The parts of the demonstration.
struct Demo {
    cluster: Cluster,
    repository: PathBuf,
    programs: PathBuf,
    lake: PathBuf,
    began: Instant,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let began = Instant::now();
    println!("\n1. A real Kubernetes starts on this machine.");
    let cluster = Cluster::start(ClusterOptions {
        kwok_nodes: 2,
        ..ClusterOptions::default()
    })
    .await?;
    let lake = std::env::temp_dir().join(format!("maru-demo-lake-{}", std::process::id()));
    let programs = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let demo = Demo {
        cluster,
        repository,
        programs,
        lake,
        began,
    };
    let played = tokio::select! {
        played = demo.play(arguments.seconds) => played,
        _ = tokio::signal::ctrl_c() => Err("stopped by Ctrl-C".into()),
    };
    if let Err(error) = tokio::fs::remove_dir_all(&demo.lake).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("{}: {error}", demo.lake.display());
    }
    demo.cluster.stop().await?;
    played
}

impl Demo {
    async fn play(&self, seconds: u64) -> Outcome<()> {
        self.say("2. The platform engineers install Maru's kinds and a price book.");
        self.kubectl(&["apply", "--server-side", "-f", "crds/manifests"])
            .await?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "-l",
            "!none",
        ])
        .await?;
        self.kubectl(&["apply", "-f", "tests/demo/story/prices.yaml"]).await?;

        self.say("3. The operator starts. It keeps usage in a lake: a directory here.");
        let mut operator = self.operator()?;
        self.kubectl(&["apply", "-f", "tests/demo/story/agency.yaml"]).await?;
        self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "agency/mois"])
            .await?;

        self.say("4. The Ministry of the Interior describes its document system; its pods start.");
        self.kubectl(&["apply", "-f", "tests/demo/story/system.yaml"]).await?;
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=120s",
            "-n",
            "mois",
            "agencysystem/docs",
        ])
        .await?;
        self.kubectl(&["get", "maru", "-A"]).await?;
        self.kubectl(&["get", "pods", "-n", "mois", "-o", "wide"]).await?;

        self.say(&format!("5. The system runs for {seconds} s and is metered."));
        tokio::time::sleep(Duration::from_secs(seconds)).await;

        self.say("6. The ministry ends it. Its pods go once their last second is in the lake.");
        self.kubectl(&["delete", "-n", "mois", "agencysystem/docs"]).await?;
        self.kubectl(&["wait", "--for=delete", "--timeout=60s", "-n", "mois", "pods", "--all"])
            .await?;
        stop(&mut operator).await?;

        self.say("7. The bill, from the recorded usage and the price book.");
        let month = jiff::Timestamp::now()
            .in_tz("Asia/Seoul")?
            .strftime("%Y-%m")
            .to_string();
        let lake = self.lake.display().to_string();
        let story = [
            "tests/demo/story/agency.yaml",
            "tests/demo/story/system.yaml",
            "tests/demo/story/prices.yaml",
        ];
        let mut rate = Command::new(self.programs.join("kubectl-maru"));
        rate.arg("rate").current_dir(&self.repository);
        for file in story {
            rate.args(["-f", file]);
        }
        println!("   $ kubectl maru rate -f tests/demo/story --usage LAKE --period {month}");
        run(rate.args(["--usage", &lake, "--period", &month])).await?;
        println!(
            "\nDone in {} s. Nothing is left behind.",
            self.began.elapsed().as_secs()
        );
        Ok(())
    }

    fn say(&self, what: &str) {
        println!("\n{what}   ({} s)", self.began.elapsed().as_secs());
    }

    async fn kubectl(&self, arguments: &[&str]) -> Outcome<()> {
        println!("   $ kubectl {}", arguments.join(" "));
        let mut command = Command::new(kubectl()?);
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .current_dir(&self.repository)
            .args(arguments);
        run(&mut command).await
    }

    fn operator(&self) -> Outcome<Child> {
        let child = Command::new(self.programs.join("maru-operator"))
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(["--listen", "127.0.0.1:0"])
            .arg("--lake")
            .arg(&self.lake)
            .env("RUST_LOG", "warn,buoyant_kernel=off")
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }
}

/// The kubectl that was built with the cluster.
fn kubectl() -> Outcome<PathBuf> {
    let folder = cache_dir().join("bin");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("kubectl-v"))
        })
        .collect();
    found.sort();
    found
        .pop()
        .ok_or_else(|| format!("no kubectl in {}", folder.display()).into())
}

/// Ends the operator in an orderly way.
async fn stop(operator: &mut Child) -> Outcome<()> {
    if let Some(id) = operator.id() {
        run(Command::new("kill").arg(id.to_string())).await?;
    }
    let status = operator.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the operator ended with {status}").into())
    }
}

async fn run(command: &mut Command) -> Outcome<()> {
    let status = command.stdin(Stdio::null()).status().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", command.as_std().get_program().display()).into())
    }
}
