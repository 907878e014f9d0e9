//! An object store: a real server that speaks S3, over a folder.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{ClusterError, Doing};
use crate::programs;

const KEY: &str = "maru";
const SECRET_KEY: &str = "maru-secret";
/// How long the server may take to listen.
const LONGEST: Duration = Duration::from_secs(30);

/// A server that speaks S3. It ends with this.
#[derive(Debug)]
pub struct ObjectStore {
    process: Child,
    address: SocketAddr,
}

impl ObjectStore {
    /// Starts one with these buckets at an address of this machine, with its files in a folder that is there; it is built when it is missing.
    ///
    /// # Errors
    /// When it cannot be built, or does not listen within half a minute.
    pub async fn start(folder: &Path, ip: IpAddr, buckets: &[&str]) -> Result<Self, ClusterError> {
        let program = programs::s3_server().await?;
        let [objects, about] = ["objects", "about"].map(|name| folder.join(name));
        let buckets = buckets.iter().map(|bucket| objects.join(bucket));
        for folder in buckets.chain([about.clone()]) {
            std::fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
        }
        let free = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr());
        let address = free.doing(|| format!("finding a free port of {ip}"))?;
        let process = Command::new(program)
            .args(["--access", KEY, "--secret", SECRET_KEY, "--port", &address.to_string()])
            .arg("posix")
            .arg("--sidecar")
            .args([&about, &objects])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .doing(|| "starting the object store".to_owned())?;
        let mut store = Self { process, address };
        store.listens().await?;
        Ok(store)
    }

    async fn listens(&mut self) -> Result<(), ClusterError> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self
                .process
                .try_wait()
                .doing(|| "waiting for the object store".to_owned())?;
            if let Some(status) = ended {
                return Err(ClusterError::Start(format!("the object store ended: {status}")));
            }
            if began.elapsed() > LONGEST {
                return Err(ClusterError::Start("the object store does not listen".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What whoever uses it must have in its environment.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
        ]
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
