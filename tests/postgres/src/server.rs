//! A server: started, crashed, started again and taken away.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::debian;
use crate::error::{Doing, PostgresError};

const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "only-for-tests";
const LONGEST_START: Duration = Duration::from_mins(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Holds the server, and takes it and its folder away when the pipe to the process that asked for it closes, which it does however that one
/// ends. The last word is the folder; the words before it are the server's command line.
const KEEPER: &str = r#"
folder=$1; shift
"$@" >>"$folder/log" 2>&1 </dev/null &
server=$!
echo $server >"$folder/server.pid"
read -r word
kill -QUIT $server 2>/dev/null
wait $server
[ "$word" = keep ] && exit
umount "$folder/data" 2>/dev/null
rm -rf "$folder"
"#;

/// What kind of server.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Connections are refused unless they are encrypted; the authority's certificate is in [`Postgres::authority`].
    pub tls: bool,
    /// With `tls`: the time of the server's certificate is over.
    pub certificate_over: bool,
    /// The data is on a disk of its own with so many MiB, for which one must be root.
    pub disk_mib: Option<u32>,
    /// A further address of this machine on which it listens, for clients that cannot reach 127.0.0.1, such as pods.
    pub outside: Option<IpAddr>,
    /// Further settings, such as `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    options: PostgresOptions,
    port: u16,
    keeper: Option<Child>,
    folder: TempDir,
}

/// One server for all tests of a process, started when it is first asked for. Each test makes a database of its own.
///
/// # Panics
/// When there is no server to be had.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| match Postgres::start(&PostgresOptions::default()) {
        Ok(server) => server,
        #[expect(clippy::panic, reason = "there is no test without a server")]
        Err(error) => panic!("{error}"),
    })
}

impl Postgres {
    /// Makes a cluster of databases in a new folder and starts it; returns when it takes connections.
    pub fn start(options: &PostgresOptions) -> Result<Self, PostgresError> {
        let mut server = Self::prepared(options)?;
        server.initialise()?;
        server.run()?;
        Ok(server)
    }

    /// A folder without data.
    fn prepared(options: &PostgresOptions) -> Result<Self, PostgresError> {
        Ok(Self {
            programs: debian::programs()?,
            options: options.clone(),
            port: free_port()?,
            keeper: None,
            folder: tempfile::Builder::new()
                .prefix("maru-postgres-")
                .tempdir()
                .doing(|| "making a folder".to_owned())?,
        })
    }

    /// Where a database is, with the name and password of the superuser.
    pub fn url(&self, database: &str) -> String {
        let tls = if self.options.tls { "?sslmode=require" } else { "" };
        format!(
            "postgresql://{SUPERUSER}:{PASSWORD}@{}:{}/{database}{tls}",
            self.host(),
            self.port
        )
    }

    /// The address at which all of its clients reach it: 127.0.0.1, or the one outside.
    pub fn host(&self) -> IpAddr {
        self.options.outside.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that vouches for a server with TLS, as a PEM file.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.crt")
    }

    /// Makes an empty database and gives its URL.
    pub fn create_database(&self, name: &str) -> Result<String, PostgresError> {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.url(name))
    }

    /// Runs SQL as the superuser and gives what `psql` prints, without headings.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, PostgresError> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            &self.url(database),
        ]);
        debian::finish(&mut psql).map(|text| text.trim_end().to_owned())
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> Result<String, PostgresError> {
        let log = self.folder.path().join("log");
        fs::read_to_string(&log).doing(|| format!("reading {}", log.display()))
    }

    /// Ends the server as a power cut would: no shutdown, no checkpoint.
    pub fn crash(&mut self) -> Result<(), PostgresError> {
        self.end(b"keep\n")
    }

    /// Starts it again in the same place.
    pub fn restart(&mut self) -> Result<(), PostgresError> {
        self.end(b"keep\n")?;
        self.run()
    }

    /// A second server that follows this one, and takes no writes until it is promoted.
    pub fn replica(&self) -> Result<Self, PostgresError> {
        let mut replica = Self::prepared(&self.options)?;
        replica.give_to_server()?;
        let mut copy = replica.as_server("pg_basebackup");
        copy.args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        copy.arg("-D").arg(replica.data()).arg("-d").arg(self.url("postgres"));
        debian::finish(&mut copy)?;
        replica.run()?;
        Ok(replica)
    }

    /// A follower becomes a server of its own.
    pub fn promote(&self) -> Result<(), PostgresError> {
        self.sql("postgres", "SELECT pg_promote()").map(drop)
    }

    /// Gives the server a certificate whose time has come, of a new authority.
    pub fn renew_certificate(&self) -> Result<(), PostgresError> {
        self.certify(false)?;
        self.give_to_server()?;
        self.sql("postgres", "SELECT pg_reload_conf()").map(drop)
    }

    /// Fills the disk but for some MiB, see [`PostgresOptions::disk_mib`]; gives the file that does, which may be deleted.
    pub fn fill_disk(&self, left_mib: u64) -> Result<PathBuf, PostgresError> {
        let file = self.data().join("filler");
        let room = rustix::fs::statvfs(self.data()).map_err(io::Error::from);
        let room = room.doing(|| "asking for room".to_owned())?;
        let bytes = (room.f_bavail * room.f_frsize).saturating_sub(left_mib << 20);
        let made = fs::File::create(&file).and_then(|made| {
            Ok(rustix::fs::fallocate(
                made,
                rustix::fs::FallocateFlags::empty(),
                0,
                bytes,
            )?)
        });
        made.doing(|| format!("filling {}", file.display()))?;
        Ok(file)
    }

    fn end(&mut self, word: &[u8]) -> Result<(), PostgresError> {
        let Some(mut keeper) = self.keeper.take() else {
            return Ok(());
        };
        if let Some(mut pipe) = keeper.stdin.take() {
            // A keeper that is already gone has nothing left to end.
            let _ = io::Write::write_all(&mut pipe, word);
        }
        keeper
            .wait()
            .map(drop)
            .doing(|| "waiting for PostgreSQL to end".to_owned())
    }

    fn initialise(&self) -> Result<(), PostgresError> {
        let folder = self.folder.path();
        let password = folder.join("password");
        write(&password, PASSWORD)?;
        if self.options.tls {
            self.certify(self.options.certificate_over)?;
        }
        if let Some(size) = self.options.disk_mib {
            fs::create_dir(self.data()).doing(|| "making the data's folder".to_owned())?;
            let size = format!("size={size}m");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(self.data());
            debian::finish(&mut mount)?;
        }
        self.give_to_server()?;
        let mut initdb = self.as_server("initdb");
        initdb.args([
            "--no-sync",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "-U",
            SUPERUSER,
        ]);
        if self.options.disk_mib.is_some() {
            // A server whose log of writes finds no room ends itself; the log has a disk of its own, as good servers have it.
            initdb.arg("--waldir").arg(folder.join("wal"));
        }
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(self.data());
        debian::finish(&mut initdb)?;
        let connection = if self.options.tls { "hostssl" } else { "host" };
        let from = self.options.outside.map_or("127.0.0.1/32", |_| "all");
        let rules = ["all", "replication"].map(|what| format!("{connection} {what} all {from} scram-sha-256\n"));
        write(&self.data().join("pg_hba.conf"), &rules.concat())?;
        self.give_to_server()
    }

    fn certify(&self, over: bool) -> Result<(), PostgresError> {
        let folder = self.folder.path();
        let certificates = Certificates::make(over, self.host())?;
        write(&folder.join("authority.crt"), &certificates.authority)?;
        write(&folder.join("server.crt"), &certificates.certificate)?;
        write(&folder.join("server.key"), &certificates.key)?;
        let key = folder.join("server.key");
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .doing(|| format!("locking {}", key.display()))
    }

    fn run(&mut self) -> Result<(), PostgresError> {
        let folder = self.folder.path();
        let started = folder.join("data/postmaster.pid");
        for left_behind in [&started, &folder.join("server.pid")] {
            let _ = fs::remove_file(left_behind);
        }
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        let server = self.as_server("postgres");
        words.push(server.get_program().to_owned());
        words.extend(server.get_args().map(std::ffi::OsStr::to_owned));
        words.extend([
            "-D".into(),
            self.data().into(),
            "-p".into(),
            self.port.to_string().into(),
        ]);
        let mut settings = vec![
            ("listen_addresses".to_owned(), self.addresses()),
            // As a platform would have it that audits and meters.
            (
                "shared_preload_libraries".to_owned(),
                "pgaudit,pg_stat_statements".to_owned(),
            ),
            ("unix_socket_directories".to_owned(), folder.display().to_string()),
        ];
        if self.options.tls {
            settings.push(("ssl".to_owned(), "on".to_owned()));
            for (setting, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
                settings.push((setting.to_owned(), folder.join(file).display().to_string()));
            }
        }
        settings.extend(self.options.settings.iter().cloned());
        for (name, value) in settings {
            words.extend(["-c".into(), format!("{name}={value}").into()]);
        }
        let mut keeper = Command::new("/bin/sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder).args(words);
        // In a group of its own, so that Ctrl-C reaches it through the pipe and not before the tests have ended.
        keeper
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.keeper = Some(keeper.spawn().doing(|| "starting PostgreSQL".to_owned())?);
        self.wait_until_ready(&started)
    }

    fn addresses(&self) -> String {
        let outside = self.options.outside.map(|address| format!(",{address}"));
        format!("127.0.0.1{}", outside.unwrap_or_default())
    }

    fn wait_until_ready(&self, started: &Path) -> Result<(), PostgresError> {
        let asked = Instant::now();
        loop {
            // The last line of this file is the server's own word that it takes connections.
            let ready =
                fs::read_to_string(started).is_ok_and(|text| text.lines().any(|line| line.trim_end() == "ready"));
            if ready {
                return Ok(());
            }
            if !self.is_alive() || asked.elapsed() > LONGEST_START {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(PostgresError::Start(log));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Whether the server's process is there, or not yet started.
    fn is_alive(&self) -> bool {
        let text = fs::read_to_string(self.folder.path().join("server.pid")).unwrap_or_default();
        match text.trim().parse().ok().and_then(Pid::from_raw) {
            Some(pid) => rustix::process::test_kill_process(pid).is_ok(),
            None => true,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of PostgreSQL under the account that it runs as: it refuses to run as root.
    fn as_server(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", SUPERUSER, "--regid", SUPERUSER, "--init-groups", "--"])
            .arg(program);
        command
    }

    fn give_to_server(&self) -> Result<(), PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let id = |flag: &str| -> Result<u32, PostgresError> {
            let text = debian::finish(Command::new("id").args([flag, SUPERUSER]))?;
            text.trim()
                .parse()
                .map_err(|_| PostgresError::Start(format!("`id {flag} {SUPERUSER}` says {text}")))
        };
        let (user, group) = (id("-u")?, id("-g")?);
        let folder = self.folder.path();
        let mut paths = vec![folder.to_owned()];
        let entries = fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?;
        paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        for path in paths {
            chown(&path, Some(user), Some(group)).doing(|| format!("giving {} to {SUPERUSER}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.end(b"");
    }
}

fn write(path: &Path, text: &str) -> Result<(), PostgresError> {
    fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

/// A port that nobody listens on now. Another process may take it first; then the server says so in its log.
fn free_port() -> Result<u16, PostgresError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(|| "looking for a free port".to_owned())?;
    let address = listener.local_addr().doing(|| "looking for a free port".to_owned())?;
    Ok(address.port())
}
