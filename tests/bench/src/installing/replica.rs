//! A replica of the operator as a process of its own, that ends as processes end.

use super::{Outcome, program};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How a replica ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// `kill -9`
    Killed,
    /// `kill`, as a rollout does.
    Orderly,
}

/// A running replica. It is killed when this is dropped.
pub(super) struct Replica {
    child: Child,
    address: String,
}

impl Replica {
    /// Starts it and waits until its caches are filled.
    pub(super) async fn start(kubeconfig: &Path, name: &str) -> Outcome<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program("maru-operator")?)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "error")
            .args(["--listen", &address, "--replica", name])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let replica = Self { child, address };
        replica.shows("/readyz", "HTTP/1.1 200").await?;
        Ok(replica)
    }

    /// Waits until it leads.
    pub(super) async fn leads(&self) -> Outcome<()> {
        self.shows("/metrics", "\nmaru_leader 1\n").await
    }

    /// Ends it; what is given waits until it is gone.
    pub(super) fn end(mut self, ending: Ending) -> impl Future<Output = Outcome<()>> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let signal = match ending {
            Ending::Killed => rustix::process::Signal::KILL,
            Ending::Orderly => rustix::process::Signal::TERM,
        };
        let sent = id
            .and_then(rustix::process::Pid::from_raw)
            .map(|id| rustix::process::kill_process(id, signal));
        async move {
            sent.transpose()?;
            self.child.wait().await?;
            Ok(())
        }
    }

    /// Waits until a page holds some words.
    async fn shows(&self, path: &str, words: &str) -> Outcome<()> {
        for _ in 0..1200 {
            if self.page(path).await.is_ok_and(|page| page.contains(words)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{path} does not say `{}` after a minute", words.trim()).into())
    }

    async fn page(&self, path: &str) -> Outcome<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
