//! The innermost process: it starts a cluster's services, starts them again when they end, and reaps the dead.
//!
//! As root it is process 1 of its own process and mount namespaces. When it dies, the kernel kills every process in
//! them and drops every mount, also those of containers that left their parents. It is plain blocking code: threads
//! and `waitpid` are all it needs.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions, WaitStatus};

use crate::{
    command,
    error::{ClusterError, Doing},
    service::{Failure, Household, Service, household_file, log_file},
};

/// A service that ends this often soon after its start will not get better.
const MAX_EARLY_ENDS: u32 = 8;
const EARLY: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(250);

type Waiters = Arc<Mutex<HashMap<i32, mpsc::Sender<String>>>>;

/// Does what `services.json` in the folder says, until it is killed.
pub(crate) fn run(dir: &Path) -> Result<(), ClusterError> {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let text = fs::read(household_file(dir)).doing(|| "reading services.json".to_owned())?;
    let household: Household = serde_json::from_slice(&text)?;
    if household.isolated {
        prepare_mounts(dir)?;
    }
    let waiters = Waiters::default();
    for service in household.services {
        let dir = dir.to_owned();
        let waiters = Arc::clone(&waiters);
        thread::spawn(move || keep_running(&service, &dir, &waiters));
    }
    reap(&waiters)
}

/// Hides the machine's own folders behind the cluster's where programs put things by fixed names, so that clusters
/// do not meet there. On the machine itself the last four are created when they are missing, and stay empty.
fn prepare_mounts(dir: &Path) -> Result<(), ClusterError> {
    mount(&["--make-rshared", "/"])?;
    mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])?;
    for (source, target) in [
        ("pod-logs", "/var/log/pods"),
        ("container-logs", "/var/log/containers"),
        ("cni/results", "/var/lib/cni"),
        ("kubelet", "/var/lib/kubelet"),
    ] {
        let source = dir.join(source);
        for folder in [source.as_path(), Path::new(target)] {
            fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))?;
        }
        mount(&["--bind", &source.display().to_string(), target])?;
    }
    cover_kernel_settings(dir)
}

/// Lets the kubelet find the kernel settings that it wants, so that it does not change the machine's own.
/// The list is `setupKernelTunables` in its container manager.
fn cover_kernel_settings(dir: &Path) -> Result<(), ClusterError> {
    let folder = dir.join("kernel-settings");
    fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    for (setting, value) in [
        ("vm/overcommit_memory", "1"),
        ("vm/panic_on_oom", "0"),
        ("kernel/panic", "10"),
        ("kernel/panic_on_oops", "1"),
        ("kernel/keys/root_maxkeys", "1000000"),
        ("kernel/keys/root_maxbytes", "25000000"),
    ] {
        let file = folder.join(setting.replace('/', "."));
        fs::write(&file, format!("{value}\n")).doing(|| format!("writing {}", file.display()))?;
        let target = format!("/proc/sys/{setting}");
        mount(&["--bind", &file.display().to_string(), &target])?;
    }
    Ok(())
}

fn mount(args: &[&str]) -> Result<(), ClusterError> {
    let output = Command::new("mount")
        .args(args)
        .output()
        .doing(|| "running mount".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(ClusterError::Command {
        command: format!("mount {}", args.join(" ")),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Waits for every process that ends, ours and orphans, and tells the thread that waits for it.
fn reap(waiters: &Waiters) -> Result<(), ClusterError> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                let mut waiters = waiters.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(waiter) = waiters.remove(&pid.as_raw_nonzero().get()) {
                    let _ = waiter.send(in_words(status));
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // No child at this moment; a service thread is about to start one.
            Err(rustix::io::Errno::CHILD) => thread::sleep(RETRY),
            Err(error) => return Err(std::io::Error::from(error)).doing(|| "waiting".to_owned()),
        }
    }
}

fn in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// This thread stays for as long as its process: the process is killed when the thread that started it ends.
fn keep_running(service: &Service, dir: &Path, waiters: &Waiters) {
    let mut early_ends = 0;
    loop {
        while !service.after.iter().all(super::service::Condition::holds) {
            thread::sleep(Duration::from_millis(20));
        }
        let begin = Instant::now();
        let end = match start(service, dir, waiters) {
            Ok(ended) => ended.recv().unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        if begin.elapsed() < EARLY {
            early_ends += 1;
        } else {
            early_ends = 0;
        }
        if early_ends >= MAX_EARLY_ENDS {
            let log = fs::read(log_file(dir, &service.name)).unwrap_or_default();
            let log = command::last_lines(&String::from_utf8_lossy(&log), 15);
            let failure = Failure {
                service: service.name.clone(),
                text: format!("{} keeps ending ({end}):\n{log}", service.name),
            };
            let _ = failure.write(dir);
            return;
        }
        thread::sleep(RETRY);
    }
}

fn start(service: &Service, dir: &Path, waiters: &Waiters) -> Result<mpsc::Receiver<String>, ClusterError> {
    let path = log_file(dir, &service.name);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .doing(|| format!("opening {}", path.display()))?;
    let errors = log.try_clone().doing(|| "sharing a log".to_owned())?;
    let (tell, ended) = mpsc::channel();
    // The lock is held until the process is known, so that its end is not reaped before.
    let mut waiters = waiters.lock().unwrap_or_else(PoisonError::into_inner);
    let child = dying_with_parent(&service.program)
        .args(&service.args)
        .envs(&service.env)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .doing(|| format!("starting {}", service.program.display()))?;
    waiters.insert(i32::try_from(child.id()).unwrap_or(-1), tell);
    Ok(ended)
}

/// A command that the kernel kills when the thread that starts it ends.
pub(crate) fn dying_with_parent(program: &Path) -> Command {
    if !command::installed("setpriv") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
