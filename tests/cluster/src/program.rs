//! The commands of `maru-cluster`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cluster::Cluster,
    error::{ClusterError, Doing},
    image, inner,
    layout::Layout,
    modules, oci,
    options::{ClusterOptions, RealNode},
    places, programs,
    progress::Reporter,
    register, start, supervisor,
};

/// A real Kubernetes on this machine.
#[derive(Parser)]
#[command(name = "maru-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Start the cluster, unless it runs already, and print the path of its kubeconfig.
    Up(Up),
    /// End the cluster and take everything of it away.
    Down(Place),
    /// Say whether the cluster runs, and where.
    Status(Place),
    /// Start a cluster, run a command with `KUBECONFIG` and `KUBECONFIG_FOR_TESTS` set to it, and end the cluster.
    Run {
        #[command(flatten)]
        parts: Parts,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Give a program to the cluster's node as an image, for example maru.dev/operator:1=target/operator.
    Image {
        /// The image's full name, an equals sign, the path of the program.
        #[arg(value_name = "NAME=BINARY")]
        image: String,
        #[command(flatten)]
        place: Place,
    },
    /// Write programs, with the libraries that they need, as an OCI image into a file. A container of it runs the first one.
    Pack {
        /// The image's full name, such as maru.dev/operator:0.1.0.
        #[arg(long)]
        name: String,
        /// Where to write the image.
        #[arg(long)]
        out: PathBuf,
        /// The programs.
        #[arg(required = true)]
        programs: Vec<PathBuf>,
    },
    /// Build the cluster's programs and start nothing.
    Build,
    /// Hold a cluster (what the other commands start).
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        options: String,
    },
    /// Run a cluster's processes (what `supervise` starts).
    #[command(hide = true)]
    Inner {
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
struct Place {
    /// The folder with the kubeconfig.
    #[arg(long, default_value = ".maru")]
    dir: PathBuf,
}

#[derive(clap::Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    parts: Parts,
}

/// What the cluster is to have.
#[derive(clap::Args)]
struct Parts {
    /// How many simulated nodes.
    #[arg(long, default_value_t = 0)]
    kwok_nodes: u32,
    /// No node with real containers, even when it is possible.
    #[arg(long)]
    no_real_node: bool,
    /// Install the Gateway API's custom resource definitions.
    #[arg(long)]
    gateway_api: bool,
    /// Write an audit log.
    #[arg(long)]
    audit: bool,
}

impl Parts {
    fn options(&self) -> ClusterOptions {
        ClusterOptions {
            node: if self.no_real_node {
                RealNode::Never
            } else {
                RealNode::WhenPossible
            },
            kwok_nodes: self.kwok_nodes,
            gateway_api: self.gateway_api,
            audit: self.audit,
            ..ClusterOptions::default()
        }
    }
}

impl Place {
    /// The folder of the cluster itself.
    fn cluster(&self) -> PathBuf {
        let dir = self.dir.join("cluster");
        dir.canonicalize().unwrap_or(dir)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        // Before any runtime: this process is plain threads.
        Subcommands::Inner { dir } => inner::run(&dir).map(|()| ExitCode::SUCCESS),
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing(|| "starting".to_owned())
            .and_then(|runtime| runtime.block_on(run(command))),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("maru-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Subcommands) -> Result<ExitCode, ClusterError> {
    match command {
        Subcommands::Run { parts, command } => return run_with(&parts, &command).await,
        Subcommands::Up(up) => self::up(&up).await,
        Subcommands::Down(place) => down(&place).await,
        Subcommands::Status(place) => status(&place).await,
        Subcommands::Build => build().await,
        Subcommands::Pack { name, out, programs } => pack(&name, &out, &programs).await,
        Subcommands::Image { image, place } => load_image(&image, &place).await,
        Subcommands::Supervise { options } => supervisor::supervise(serde_json::from_str(&options)?).await,
        Subcommands::Inner { dir } => inner::run(&dir),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command beside a cluster of its own; the exit code is the command's.
async fn run_with(parts: &Parts, words: &[String]) -> Result<ExitCode, ClusterError> {
    let cluster = Cluster::start_reporting(parts.options(), Reporter::people()).await?;
    let Some((program, arguments)) = words.split_first() else {
        return Ok(ExitCode::SUCCESS);
    };
    // Ctrl-C reaches the command too: we wait for its end and then take the cluster away.
    let interrupts = signal(SignalKind::interrupt()).doing(|| "listening for signals".to_owned())?;
    let status = tokio::process::Command::from(inner::dying_with_parent(Path::new(program)))
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("KUBECONFIG_FOR_TESTS", cluster.kubeconfig())
        .status()
        .await
        .doing(|| format!("running {program}"));
    drop(interrupts);
    cluster.stop().await?;
    let code = status?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn up(up: &Up) -> Result<(), ClusterError> {
    places::create(&up.place.dir)?;
    let kubeconfig = up.place.kubeconfig();
    if register::find(&up.place.cluster())?.is_some() && healthy(&kubeconfig).await {
        println!("{}", kubeconfig.display());
        return Ok(());
    }
    supervisor::down(&up.place.cluster()).await?;
    let dir = std::path::absolute(up.place.dir.join("cluster"));
    let copy = std::path::absolute(&kubeconfig);
    let options = ClusterOptions {
        dir: Some(dir.doing(|| "finding the folder".to_owned())?),
        kubeconfig: Some(copy.doing(|| "finding the folder".to_owned())?),
        ..up.parts.options()
    };
    Cluster::start_reporting(options, Reporter::people()).await?.detach()?;
    println!("{}", kubeconfig.display());
    Ok(())
}

async fn healthy(kubeconfig: &Path) -> bool {
    match start::client(kubeconfig).await {
        Ok(client) => client.apiserver_version().await.is_ok(),
        Err(_) => false,
    }
}

async fn down(place: &Place) -> Result<(), ClusterError> {
    if supervisor::down(&place.cluster()).await? {
        eprintln!("the cluster is gone");
    } else {
        eprintln!("no cluster runs here");
    }
    Ok(())
}

async fn status(place: &Place) -> Result<(), ClusterError> {
    let Some(record) = register::find(&place.cluster())? else {
        return Err(ClusterError::Start(format!(
            "no cluster runs in {}; `maru-cluster up` starts one",
            place.dir.display()
        )));
    };
    let client = start::client(&place.kubeconfig()).await?;
    let version = client.apiserver_version().await?;
    println!(
        "Kubernetes {} held by process {}, files in {}",
        version.git_version,
        record.supervisor,
        record.dir.display()
    );
    println!("{}", place.kubeconfig().display());
    Ok(())
}

async fn load_image(image: &str, place: &Place) -> Result<(), ClusterError> {
    let Some((name, binary)) = image.split_once('=') else {
        return Err(ClusterError::Format {
            what: "image",
            message: format!("`{image}` is not of the form NAME=BINARY"),
        });
    };
    let state = Layout::at(&place.cluster()).read_state()?;
    image::load(&state, name, Path::new(binary)).await
}

async fn pack(name: &str, out: &Path, programs: &[PathBuf]) -> Result<(), ClusterError> {
    let programs: Vec<&Path> = programs.iter().map(PathBuf::as_path).collect();
    let files = oci::files_of(&programs).await?;
    let archive = oci::archive(name, &files, oci::Layer::Small)?;
    if let Some(folder) = out.parent() {
        places::create(folder)?;
    }
    std::fs::write(out, &archive).doing(|| format!("writing {}", out.display()))?;
    let megabytes = archive.len().div_ceil(100_000);
    println!("{name}: {}.{} MB in {}", megabytes / 10, megabytes % 10, out.display());
    Ok(())
}

/// What some tests need beside the parts of a cluster.
const BESIDE: &[programs::Program] = &[
    programs::KWOK_CONTROLLER,
    programs::KUBE_PROXY,
    programs::HELM,
    programs::PROMETHEUS,
    programs::PROMTOOL,
    programs::S3_SERVER,
];

async fn build() -> Result<(), ClusterError> {
    let reporter = Reporter::people();
    programs::ensure(programs::CONTROL_PLANE, &reporter).await?;
    programs::ensure(programs::REAL_NODE, &reporter).await?;
    programs::ensure(BESIDE, &reporter).await?;
    modules::ensure(&modules::KWOK_STAGES, &reporter).await?;
    modules::ensure(&modules::GATEWAY_API, &reporter).await?;
    for program in [programs::CONTROL_PLANE, programs::REAL_NODE, BESIDE].concat() {
        println!("{}", program.path()?.display());
    }
    Ok(())
}
