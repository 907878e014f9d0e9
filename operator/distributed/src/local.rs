//! A scheduler and some executors on this machine, each a process of its own on free ports.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long the scheduler may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until standard input ends or the program is interrupted.
#[derive(Debug, Args)]
pub(crate) struct Local {
    /// How many executors.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    executors: u16,
    /// Parts that each executor works on at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    vcores: u16,
}

impl Local {
    /// Starts them, says the scheduler's address as soon as it listens, and waits.
    pub(crate) async fn run(&self) -> std::io::Result<()> {
        let scheduler = free_port()?;
        let mut running = vec![
            role(&["scheduler", "--bind-host", "127.0.0.1", "--external-host", "127.0.0.1"])
                .args(["--bind-port", &scheduler.to_string()])
                .spawn()?,
        ];
        for _ in 0..self.executors {
            running.push(self.executor(scheduler)?);
        }
        listens(scheduler).await?;
        println!("df://127.0.0.1:{scheduler}");
        let (mut input, mut rest) = (tokio::io::stdin(), Vec::new());
        tokio::select! {
            ended = first_end(&mut running) => return ended,
            _ = input.read_to_end(&mut rest) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        for child in &mut running {
            child.kill().await?;
        }
        Ok(())
    }

    fn executor(&self, scheduler: u16) -> std::io::Result<Child> {
        let mut command = role(&["executor", "--scheduler-host", "127.0.0.1", "--bind-host", "127.0.0.1"]);
        command
            .args([
                "--external-host",
                "127.0.0.1",
                "--scheduler-connect-timeout-seconds",
                "60",
            ])
            .args(["--vcores", &self.vcores.to_string()])
            .args(["--scheduler-port", &scheduler.to_string()]);
        for port in ["--bind-port", "--bind-grpc-port"] {
            command.args([port, &free_port()?.to_string()]);
        }
        command.spawn()
    }
}

/// Waits until something listens at a port.
async fn listens(port: u16) -> std::io::Result<()> {
    let began = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The first of them that ends, which none should.
async fn first_end(running: &mut [Child]) -> std::io::Result<()> {
    let ends = running.iter_mut().map(|child| Box::pin(child.wait()));
    let (status, _, _) = futures::future::select_all(ends).await;
    Err(std::io::Error::other(format!(
        "a scheduler or executor ended: {}",
        status?
    )))
}

fn role(arguments: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "maru-ballista".into());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
