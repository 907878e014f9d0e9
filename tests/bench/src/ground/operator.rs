//! The operator as it is installed: its own process, with a memory of its own and a page of metrics.

use super::Outcome;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running operator. It is killed when this is dropped.
pub(super) struct Operator {
    child: Child,
    address: String,
}

impl Operator {
    /// Starts it and waits until its caches are filled.
    pub(super) async fn start(kubeconfig: &Path, workers: usize) -> Outcome<Self> {
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
    pub(super) fn memory(&self) -> Outcome<f64> {
        crate::memory::resident_mib(&self.child.id().to_string(), "VmRSS")
    }

    /// How many writes it has counted.
    pub(super) async fn writes(&self) -> Outcome<f64> {
        let page = self.page("/metrics").await?;
        let counts = page.lines().filter(|line| line.starts_with("maru_writes_total{"));
        Ok(counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
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
