//! A PostgreSQL server of a test's own.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::Config;

use super::clock_off::clock_off_by;
use super::database::TestDatabase;
use super::locate::{self, ServerUser};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the server and removes its folder when standard input ends: when its owner drops it, or dies.
const WATCHDOG: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
runs() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; }
if runs "$1"; then kill -QUIT "$pid"; fi
tries=0
while runs "$1" && [ "$tries" -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
rm -rf "$1"
"#;

/// A PostgreSQL server for tests, with its data in a temporary folder; stopped and removed when it is dropped and when the
/// test process dies.
///
/// `JIT_TEST_POSTGRES_URL` names a server to use instead, on which the tests create databases and roles; that one cannot be
/// stopped or started. Otherwise the binaries are those of `JIT_TEST_POSTGRES_BIN`, of `PATH`, or of the distribution. As
/// root the server runs as user `postgres`.
///
/// It listens on a Unix socket (trusts everybody) and on a loopback port (asks for a password).
#[derive(Debug)]
pub struct TestPostgres {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Given(Config),
    Own(Cluster),
}

#[derive(Debug)]
struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    user: ServerUser,
    port: u16,
    settings: Vec<String>,
    /// By how many seconds its clock is ahead.
    ahead: i64,
    postmaster: Mutex<Option<Child>>,
    watchdog: Mutex<Child>,
}

impl TestPostgres {
    /// The password of user `postgres` on the loopback port.
    pub const PASSWORD: &'static str = "only-for-tests";

    /// The server that all tests of this process share: quick, not durable. Nobody may stop it.
    ///
    /// # Panics
    /// If there is no PostgreSQL on this machine; the message says how to install it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::fast)
    }

    /// A server of its own without `fsync`: survives a crash of PostgreSQL, not one of the machine.
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    #[must_use]
    pub fn fast() -> Self {
        Self::with_settings(&["fsync=off", "full_page_writes=off"])
    }

    /// A server of its own with the durability a fresh installation has.
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    #[must_use]
    pub fn durable() -> Self {
        Self::with_settings(&[])
    }

    /// A server of its own with settings such as `wal_level=logical`.
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    #[must_use]
    pub fn with_settings(settings: &[&str]) -> Self {
        let server = match env::var("JIT_TEST_POSTGRES_URL") {
            Ok(url) => Server::Given(Config::from_str(&url).expect("JIT_TEST_POSTGRES_URL is a PostgreSQL URL")),
            Err(_) => Server::Own(Cluster::create(&env::temp_dir(), settings, 0)),
        };
        Self { server }
    }

    /// A server of its own whose clock is off by so many seconds, ahead if positive.
    ///
    /// # Panics
    /// As [`shared`](Self::shared), and without libfaketime.
    #[must_use]
    pub fn with_clock_off_by(seconds: i64, settings: &[&str]) -> Self {
        Self { server: Server::Own(Cluster::create(&env::temp_dir(), settings, seconds)) }
    }

    /// A server of its own whose files are all in a new folder below `parent`, on a disk that can run full for example.
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    #[must_use]
    pub fn in_folder(parent: &Path, settings: &[&str]) -> Self {
        Self { server: Server::Own(Cluster::create(parent, settings, 0)) }
    }

    /// A fresh, empty database.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::create(self, "template1").await
    }

    /// A copy of a database that nobody is connected to, quicker than doing again what was done there.
    pub async fn copy_of(&self, template: &TestDatabase) -> TestDatabase {
        TestDatabase::create(self, template.name()).await
    }

    /// How to connect as superuser to the maintenance database, over the Unix socket where the server is our own.
    #[must_use]
    pub fn config(&self) -> Config {
        match &self.server {
            Server::Given(config) => config.clone(),
            Server::Own(cluster) => {
                let mut config = Config::new();
                config.host_path(&cluster.folder).port(cluster.port).user("postgres").dbname("postgres");
                config
            }
        }
    }

    /// The same over TCP, where a proxy can stand between and TLS can be spoken.
    #[must_use]
    pub fn tcp_config(&self) -> Config {
        match &self.server {
            Server::Given(config) => config.clone(),
            Server::Own(cluster) => {
                let mut config = Config::new();
                config.host("127.0.0.1").port(cluster.port).user("postgres").dbname("postgres");
                config.password(Self::PASSWORD);
                config
            }
        }
    }

    /// Whether the databases live on a server that outlives the tests.
    pub(super) fn is_given(&self) -> bool {
        matches!(self.server, Server::Given(_))
    }

    /// The folder with the server's data.
    ///
    /// # Panics
    /// If the server was given by URL.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.own().data()
    }

    /// Stops the server as a power cut of PostgreSQL does: at once, so that it recovers at its next start.
    ///
    /// # Panics
    /// If the server was given by URL, or does not stop.
    pub fn stop_immediate(&self) {
        self.own().stop("-QUIT");
    }

    /// Kills every process of the server.
    ///
    /// # Panics
    /// If the server was given by URL, or does not stop.
    pub fn kill9(&self) {
        self.own().stop("-KILL");
    }

    /// Starts the server again, on the same port; does nothing if it runs.
    ///
    /// # Panics
    /// If the server was given by URL, or does not start.
    pub fn start(&self) {
        self.own().start();
    }

    fn own(&self) -> &Cluster {
        match &self.server {
            Server::Own(cluster) => cluster,
            Server::Given(_) => panic!("this test needs a server of its own: unset JIT_TEST_POSTGRES_URL"),
        }
    }
}

impl Cluster {
    fn create(parent: &Path, settings: &[&str], ahead: i64) -> Self {
        let (binaries, user) = (locate::binaries(), ServerUser::find());
        let folder = tempfile::Builder::new().prefix("jit-pg-").tempdir_in(parent).expect("a temporary folder").keep();
        user.own(&folder);
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&folder).process_group(0);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let cluster = Self {
            watchdog: Mutex::new(watchdog.expect("a shell")),
            port: free_port(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            ahead,
            postmaster: Mutex::new(None),
            folder,
            binaries,
            user,
        };
        cluster.init();
        cluster.start();
        cluster
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn init(&self) {
        let password = self.folder.join("password");
        fs::write(&password, TestPostgres::PASSWORD).expect("the folder takes a file");
        self.user.own(&password);
        let mut initdb = self.user.command(self.binaries.join("initdb"));
        initdb.args(["-U", "postgres", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(self.data());
        let output = initdb.output().expect("initdb runs");
        assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn start(&self) {
        let mut postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + PATIENCE;
        while postmaster.is_none() {
            let mut child = self.spawn();
            // Processes of a killed server may hold its memory a moment longer; then this one gives up, and the next may not.
            match await_ready(&mut child, &self.data(), deadline) {
                true => *postmaster = Some(child),
                false => assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", self.log()),
            }
        }
    }

    fn spawn(&self) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log file");
        let binary = self.binaries.join("postgres");
        // The library is for the server alone: as another user it could not use what it had made as root.
        let mut postgres = match self.ahead {
            0 => self.user.command(binary),
            ahead => {
                let [env, settings @ ..] = clock_off_by(ahead);
                let mut postgres = self.user.command(env);
                postgres.args(settings).arg(binary);
                postgres
            }
        };
        postgres.arg("-D").arg(self.data()).arg("-k").arg(&self.folder);
        postgres.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        postgres.args(["-c", "max_connections=200", "-c", "max_prepared_transactions=20"]);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        postgres.spawn().expect("postgres runs")
    }

    fn stop(&self, signal: &str) {
        let Some(mut child) = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let pid = child.id();
        let mut pids = vec![pid.to_string()];
        if signal == "-KILL" {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().map(str::to_owned));
        }
        let status = Command::new("kill").arg(signal).args(&pids).stderr(Stdio::null()).status().expect("kill runs");
        // Of the processes of a killed server some may have ended by themselves meanwhile.
        assert!(status.success() || signal == "-KILL", "PostgreSQL was not running: {}", self.log());
        child.wait().expect("the server was started here");
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let watchdog = self.watchdog.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(watchdog.stdin.take());
        let _ = watchdog.wait();
        if let Some(child) = self.postmaster.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = child.wait();
        }
    }
}

/// Whether the server takes connections before the deadline; `false` if it ended.
fn await_ready(child: &mut Child, data: &Path, deadline: Instant) -> bool {
    let pid = child.id().to_string();
    loop {
        let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let mut lines = state.lines();
        if lines.next() == Some(pid.as_str()) && lines.any(|line| line.trim_end() == "ready") {
            return true;
        }
        if child.try_wait().expect("the server was started here").is_some() {
            return false;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("it is bound").port()
}
