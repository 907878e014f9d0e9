//! The operator as it is installed: its own process, with a memory of its own and a page of metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is asked of it gives, or why it does not answer.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A running operator. It is killed when this is dropped.
pub(crate) struct Operator {
    child: Child,
    address: String,
}

impl Operator {
    /// Starts it and waits until its caches are filled.
    pub(crate) async fn start(kubeconfig: &Path, workers: usize) -> Outcome<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(program()?)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "error")
            .args(["--listen", &address, "--workers", &workers.to_string()])
            .stdout(Stdio::null())
            .spawn()?;
        let operator = Self { child, address };
        for _ in 0..600 {
            if operator
                .page("/readyz")
                .await
                .is_ok_and(|page| page.starts_with("HTTP/1.1 200"))
            {
                return Ok(operator);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the operator is not ready after 30 s".into())
    }

    /// Its resident memory, in MiB.
    #[cfg(feature = "area-01")]
    pub(crate) fn memory(&self) -> Outcome<f64> {
        crate::memory::resident_mib(&self.child.id().to_string(), "VmRSS")
    }

    /// How many writes it has counted.
    pub(crate) async fn writes(&self) -> Outcome<f64> {
        Ok(self.writes_by_kind().await?.values().sum())
    }

    /// How many writes it has counted, by what was written.
    pub(crate) async fn writes_by_kind(&self) -> Outcome<BTreeMap<String, f64>> {
        let page = self.page("/metrics").await?;
        let counts = page.lines().filter_map(|line| line.strip_prefix("maru_writes_total{"));
        let counts = counts.filter_map(|line| line.rsplit_once(' '));
        Ok(counts
            .filter_map(|(kind, count)| Some((kind.to_owned(), count.parse().ok()?)))
            .collect())
    }

    /// Waits until it has written nothing for some seconds: controllers of Kubernetes have their last word, too.
    pub(crate) async fn settled(&self) -> Outcome<()> {
        let mut before = -1.0;
        loop {
            let now = self.writes().await?;
            if now <= before {
                return Ok(());
            }
            before = now;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    /// The processor time that it has taken, of user and system.
    #[cfg(feature = "area-04")]
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may have anything in it, in hundredths of a second: fields 14 and 15 of proc(5).
        let behind = text.rsplit_once(')').ok_or("no such process")?.1;
        let ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
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

impl Drop for Operator {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The operator that was built with the same profile as this program.
fn program() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("maru-operator");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is not there; run make bench", program.display()).into())
    }
}
