//! A cluster in the hands of a test.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use kube::{Client, Config};
use tokio::sync::OnceCell;

use crate::{
    error::{ClusterError, Doing},
    image,
    layout::{Layout, State},
    node,
    options::ClusterOptions,
    places,
    progress::{Event, Reporter},
    start,
    supervisor::DETACH,
    supervisor_program,
};

/// How long a drop waits for the supervisor to take everything away.
const END: Duration = Duration::from_secs(30);

/// A cluster that lives until this is dropped, or until this process ends in whatever way.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    config: Config,
    real_node: bool,
    /// What is known of a cluster of this harness, whoever started it.
    own: Option<Own>,
    /// The supervisor, when this process started it.
    held: Option<Held>,
}

/// A cluster of this harness.
#[derive(Debug)]
struct Own {
    dir: PathBuf,
    state: State,
}

/// The supervisor of a cluster that we started. Closing its standard input ends it.
#[derive(Debug)]
struct Held(Child);

impl Cluster {
    /// Builds what is missing, starts a cluster and returns when it answers.
    ///
    /// # Errors
    /// When a program cannot be built or a part does not come up; the text holds the end of its log.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        Self::start_reporting(options, Reporter::tests()).await
    }

    /// The same, with progress handed to `reporter`.
    pub async fn start_reporting(options: ClusterOptions, reporter: Reporter) -> Result<Self, ClusterError> {
        let (held, own) = tokio::task::spawn_blocking(move || Held::start(options, &reporter))
            .await
            .map_err(|error| ClusterError::Start(error.to_string()))??;
        let kubeconfig = own.dir.join("kubeconfig");
        let config = start::config(&kubeconfig).await?;
        Ok(Self {
            kubeconfig,
            config,
            real_node: own.state.real_node.is_some(),
            own: Some(own),
            held: Some(held),
        })
    }

    /// The cluster that `KUBECONFIG_FOR_TESTS` or `KUBECONFIG` names, else a new one with the default options.
    pub async fn from_env() -> Result<Self, ClusterError> {
        Self::from_env_or(ClusterOptions::default()).await
    }

    /// The cluster that `KUBECONFIG_FOR_TESTS` or `KUBECONFIG` names, else a new one.
    pub async fn from_env_or(options: ClusterOptions) -> Result<Self, ClusterError> {
        let given = ["KUBECONFIG_FOR_TESTS", "KUBECONFIG"]
            .into_iter()
            .find_map(|name| Some((name, std::env::var_os(name).filter(|path| !path.is_empty())?)));
        match given {
            Some((name, path)) => {
                let path = Path::new(&path);
                Reporter::tests().note(format!("using the cluster of {name}={}", path.display()));
                Self::existing(path).await
            }
            None => Self::start(options).await,
        }
    }

    /// A cluster that is there already. It is left as it is when this is dropped.
    pub async fn existing(kubeconfig: &Path) -> Result<Self, ClusterError> {
        let config = start::config(kubeconfig).await?;
        let client = Client::try_from(config.clone())?;
        Ok(Self {
            kubeconfig: kubeconfig.to_owned(),
            config,
            real_node: node::is_there(&client).await?,
            own: Own::beside(kubeconfig),
            held: None,
        })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// How a client reaches the API server as administrator.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// A new client with the administrator's rights. It belongs to the runtime it was made on.
    ///
    /// # Errors
    /// When the TLS setup is refused.
    pub fn client(&self) -> Result<Client, ClusterError> {
        Ok(Client::try_from(self.config())?)
    }

    /// A new client that acts as `user`, a member of `groups`. Add `system:authenticated` where it matters.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client, ClusterError> {
        let mut config = self.config();
        config.auth_info.impersonate = Some(user.to_owned());
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        config.auth_info.impersonate_groups = Some(groups);
        Ok(Client::try_from(config)?)
    }

    /// How a client reaches the API server that has nothing but a bearer token: a service account's, for example.
    pub fn config_with_token(&self, token: &str) -> Config {
        let mut config = self.config();
        config.auth_info = kube::config::AuthInfo {
            token: Some(token.to_owned().into()),
            ..kube::config::AuthInfo::default()
        };
        config
    }

    /// Ends the cluster and waits until everything of it is gone. One that was there before is left alone.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || drop(held))
            .await
            .map_err(|error| ClusterError::Start(error.to_string()))
    }

    /// Whether the cluster has a node that runs real containers, labelled [`crate::REAL_NODE_LABEL`].
    pub fn has_real_node(&self) -> bool {
        self.real_node
    }

    /// The folder with the cluster's files and logs, for a cluster of this harness.
    pub fn dir(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.dir.as_path())
    }

    /// What is known of a cluster of this harness.
    pub fn state(&self) -> Option<&State> {
        self.own.as_ref().map(|own| &own.state)
    }

    /// The audit log, for a cluster of this harness with `audit`.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.dir().map(|dir| dir.join("logs/audit.log"))
    }

    /// Hands the program `binary`, with the libraries it needs, to the real node as image `name`, for example
    /// `maru.dev/operator:1`. Containers of it run as user 65532. Pods use it with `imagePullPolicy: IfNotPresent` or `Never`.
    ///
    /// # Errors
    /// When this is not a cluster of this harness or it has no real node, or containerd refuses the image.
    pub async fn load_image(&self, name: &str, binary: &Path) -> Result<(), ClusterError> {
        let state = self.state();
        let state = state.ok_or(ClusterError::Without("node that this process may reach"))?;
        image::load(state, name, binary).await
    }

    /// Hands several programs to the real node as one image, each under its own name at the root; a container runs the first one.
    ///
    /// # Errors
    /// As of [`Cluster::load_image`].
    pub async fn load_programs(&self, name: &str, programs: &[&Path]) -> Result<(), ClusterError> {
        let state = self.state();
        let state = state.ok_or(ClusterError::Without("node that this process may reach"))?;
        image::load_programs(state, name, programs).await
    }

    /// Hands an image to the real node that is in a file, as `maru-cluster pack` writes it.
    ///
    /// # Errors
    /// As of [`Cluster::load_image`].
    pub async fn import_image(&self, archive: &Path) -> Result<(), ClusterError> {
        let state = self.state();
        let state = state.ok_or(ClusterError::Without("node that this process may reach"))?;
        image::import(state, archive).await
    }

    /// An address of this machine that pods reach, where the cluster has a network of its own. Whoever listens there is outside the cluster.
    pub fn outside(&self) -> Option<std::net::IpAddr> {
        let state = self.state()?;
        state.real_node.as_ref()?;
        Some(std::net::Ipv4Addr::new(10, 200, state.number, 2).into())
    }

    /// Lets the cluster live on without this process; `maru-cluster down` ends it.
    pub(crate) fn detach(mut self) -> Result<(), ClusterError> {
        if let Some(mut held) = self.held.take() {
            let pipe = held.0.stdin.as_mut();
            let told = pipe.map_or(Ok(()), |pipe| writeln!(pipe, "{DETACH}"));
            told.doing(|| "letting the cluster go".to_owned())?;
            // Without running its destructor, which would wait for the end.
            std::mem::forget(held);
        }
        Ok(())
    }
}

impl Held {
    fn start(mut options: ClusterOptions, reporter: &Reporter) -> Result<(Self, Own), ClusterError> {
        let dir = options.dir.get_or_insert_with(new_folder).clone();
        let log = dir.join("logs/supervisor.log");
        places::create(&dir.join("logs"))?;
        let log = File::create(&log).doing(|| format!("creating {}", log.display()))?;
        let mut supervisor = Command::new(supervisor_program::find()?)
            .args(["supervise", "--options", &serde_json::to_string(&options)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not ours: whoever waits for the end of our standard error would wait for the cluster's.
            .stderr(log)
            .spawn()
            .doing(|| "starting maru-cluster".to_owned())?;
        let events = supervisor.stdout.take();
        // From here on it ends when it is dropped, also by an error.
        let held = Self(supervisor);
        follow(events, reporter)?;
        let state = Layout::at(&dir).read_state()?;
        Ok((held, Own { dir, state }))
    }
}

impl Own {
    /// What lies beside the kubeconfig of a running cluster of this harness.
    fn beside(kubeconfig: &Path) -> Option<Self> {
        let folder = kubeconfig.parent()?;
        [folder.to_owned(), folder.join("cluster")].into_iter().find_map(|dir| {
            let state = Layout::at(&dir).read_state().ok()?;
            Some(Self { dir, state })
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        close_and_wait(&mut self.0);
    }
}

/// Hands on what the supervisor reports until the cluster is ready or will never be.
fn follow(events: Option<ChildStdout>, reporter: &Reporter) -> Result<(), ClusterError> {
    let Some(events) = events else {
        return Err(ClusterError::Start("no word from maru-cluster".to_owned()));
    };
    for line in BufReader::new(events).lines() {
        let line = line.doing(|| "listening to maru-cluster".to_owned())?;
        let Ok(event) = serde_json::from_str::<Event>(&line) else {
            reporter.note(line);
            continue;
        };
        reporter.report(&event);
        match event {
            Event::Ready { .. } => return Ok(()),
            Event::Failed { text } => return Err(ClusterError::Reported(text)),
            Event::Began { .. } | Event::Ended { .. } | Event::Note { .. } => {}
        }
    }
    Err(ClusterError::Start("maru-cluster ended without a word".to_owned()))
}

fn close_and_wait(supervisor: &mut Child) {
    drop(supervisor.stdin.take());
    let begin = Instant::now();
    while let Ok(None) = supervisor.try_wait() {
        if begin.elapsed() > END {
            eprintln!("the test cluster has not ended after {} s", END.as_secs());
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder that no other cluster uses.
fn new_folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("maru-cluster-{}-{count}", std::process::id());
    std::env::temp_dir().join(name)
}

static SHARED: OnceCell<Cluster> = OnceCell::const_new();

/// The one cluster that all tests of this process share, or the one that the environment names.
///
/// It is started at the first call with the default options and is gone soon after the process has ended.
pub async fn shared() -> Result<&'static Cluster, ClusterError> {
    SHARED.get_or_try_init(Cluster::from_env).await
}
