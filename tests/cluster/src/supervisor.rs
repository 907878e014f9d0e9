//! The process that holds a cluster: it outlives whoever asked for it just long enough to take everything away.
//!
//! Its standard input is a pipe from the process that asked. When the pipe ends without the word `detach`, that
//! process is gone, however it died, and the cluster goes too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use crate::{
    error::{ClusterError, Doing},
    layout::Layout,
    options::ClusterOptions,
    progress::{Event, Reporter},
    register::{self, Claim, Record},
    start::{self, Running},
    volumes,
};

/// The word on standard input after which the cluster lives on without its parent.
pub(crate) const DETACH: &str = "detach";

/// How long everything has to be gone after it was killed.
const END: Duration = Duration::from_secs(30);

/// Starts a cluster, holds it until it is told to end, and takes everything away. `options.dir` must be given.
pub(crate) async fn supervise(options: ClusterOptions) -> Result<(), ClusterError> {
    let reporter = Reporter::json_lines();
    let outcome = hold(options, &reporter).await;
    if let Err(error) = &outcome {
        reporter.report(&Event::Failed {
            text: error.to_string(),
        });
    }
    outcome
}

async fn hold(options: ClusterOptions, reporter: &Reporter) -> Result<(), ClusterError> {
    // A session of its own, so that Ctrl-C ends the parent and not, in the middle, this process.
    let _ = rustix::process::setsid();
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me))
        .map_err(std::io::Error::from)
        .doing(|| "becoming the parent of orphans".to_owned())?;
    let mut stop = listen_for_the_end()?;

    let dir = options
        .dir
        .as_deref()
        .ok_or_else(|| ClusterError::Start("no folder was given".to_owned()))?;
    // Before the folder is prepared: a dead cluster's folder may be the same one, and goes.
    register::sweep().await?;
    if let Some(living) = register::find(&dir.canonicalize().unwrap_or_else(|_| dir.to_owned()))? {
        return Err(ClusterError::Start(format!(
            "process {} holds a cluster in {}",
            living.supervisor,
            dir.display()
        )));
    }
    let layout = Layout::create(dir)?;
    let record = Record {
        supervisor: me.as_raw_nonzero().get(),
        dir: layout.dir.clone(),
        keep_files: options.keep_files,
        kubeconfig: options.kubeconfig.clone(),
    };
    let claim = register::claim(&record)?;
    let outcome = tokio::select! {
        started = start::start(claim.number, &options, &layout, reporter) => started.map(Some),
        _ = stop.changed() => Ok(None),
    };
    let outcome = match outcome {
        Ok(Some(running)) => {
            reporter.report(&Event::Ready {
                kubeconfig: options.kubeconfig.unwrap_or_else(|| layout.kubeconfig()),
            });
            let volumes = options.volumes.then(|| layout.dir.join("volumes"));
            until_the_end(running, volumes, &mut stop).await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    end(claim, &record).await?;
    outcome
}

/// Serves what a cluster needs from outside until it is to end, and kills it then.
async fn until_the_end(
    running: Running,
    volumes: Option<PathBuf>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), ClusterError> {
    let Running { mut inner, client } = running;
    let serving = async {
        if let Some(folder) = volumes {
            volumes::serve(client, &folder).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = stop.changed() => {
            let _ = inner.start_kill();
            Ok(())
        }
        () = serving => Ok(()),
        status = inner.wait() => {
            let status = status.doing(|| "waiting for the cluster".to_owned())?;
            Err(ClusterError::Start(format!("its processes ended unasked: {status}")))
        }
    }
}

/// Ends when the parent is gone, or when a signal asks for it.
fn listen_for_the_end() -> Result<watch::Receiver<bool>, ClusterError> {
    let (tell, stop) = watch::channel(false);
    let listen = |kind| signal(kind).doing(|| "listening for signals".to_owned());
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            () = parent_gone() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = tell.send(true);
    });
    Ok(stop)
}

/// Ends when standard input does, and never after the word [`DETACH`].
async fn parent_gone() {
    let (tell, told) = oneshot::channel::<()>();
    // A thread, because reading standard input cannot be cancelled and must not keep the process from ending.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_ok_and(|line| line == DETACH) {
                std::mem::forget(tell);
                return;
            }
        }
        drop(tell);
    });
    let _ = told.await;
}

/// Waits until every process of the cluster is gone, and takes the rest away.
async fn end(claim: Claim, record: &Record) -> Result<(), ClusterError> {
    all_processes_gone().await?;
    register::remove(claim.number, record).await;
    claim.release()
}

/// Waits until every process of the cluster is gone, after the innermost was killed.
pub(crate) async fn all_processes_gone() -> Result<(), ClusterError> {
    let begin = Instant::now();
    // All of them are children of this process by now: it is the parent of orphans.
    while !matches!(
        rustix::process::wait(WaitOptions::NOHANG),
        Err(rustix::io::Errno::CHILD)
    ) {
        if begin.elapsed() > END {
            return Err(ClusterError::Start("some of its processes do not end".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The innermost process of a cluster; it is killed when the handle is dropped.
pub(crate) fn spawn_inner(layout: &Layout, namespace: Option<&str>) -> Result<Child, ClusterError> {
    let me = std::env::current_exe().doing(|| "finding this program".to_owned())?;
    let mut command = match namespace {
        Some(namespace) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--pdeathsig", "KILL", "--", "nsenter"])
                .arg(format!("--net=/run/netns/{namespace}"))
                .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
                .arg("--mount-proc")
                .arg(me);
            command
        }
        None => Command::new(me),
    };
    let log = layout.dir.join("logs/inner.log");
    let log = fs::File::create(&log).doing(|| format!("creating {}", log.display()))?;
    let errors = log.try_clone().doing(|| "sharing a log".to_owned())?;
    command
        .arg("inner")
        .arg("--dir")
        .arg(&layout.dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .doing(|| "starting the cluster's processes".to_owned())
}

/// Asks the supervisor of the cluster in `dir` to end it, and waits until it has. `false` when there is none.
pub(crate) async fn down(dir: &Path) -> Result<bool, ClusterError> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let Some(record) = register::find(&dir)? else {
        register::sweep().await?;
        return Ok(false);
    };
    if let Some(supervisor) = rustix::process::Pid::from_raw(record.supervisor) {
        let _ = rustix::process::kill_process(supervisor, Signal::TERM);
    }
    let begin = Instant::now();
    while register::find(&dir)?.is_some() {
        if begin.elapsed() > END + END {
            return Err(ClusterError::Start(format!(
                "process {} does not end the cluster",
                record.supervisor
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(true)
}
