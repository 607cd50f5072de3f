//! One run of one load: a fresh database, processes of its own, a line of JSON from each.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;

use jit_testkit::TestPostgres;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::loads::Load;

/// What a load prints.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Measured {
    pub(crate) events_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Appends to a stream nobody else writes to that were refused all the same.
    pub(crate) retries: f64,
}

/// Runs the load for so many seconds.
pub(crate) async fn measure(
    server: &TestPostgres,
    programs: &Path,
    load: &Load,
    seconds: u64,
) -> Result<Measured, Box<dyn Error>> {
    let database = server.database().await;
    // What earlier loads left to be written is not this one's work.
    database.connect().await.batch_execute("CHECKPOINT").await?;
    let folder = tempfile::tempdir()?;
    let url = if load.kind.is_file() { "log.sqlite".to_owned() } else { url(&database.config)? };

    let mut running = Vec::new();
    for _ in 0..load.processes {
        let mut process = Process::start(programs, load, &url, seconds, folder.path())?;
        if load.kind.waits() {
            // The first creates the log before the others look for it.
            process.ready().await?;
        }
        running.push(process);
    }
    for process in &mut running {
        process.begin().await?;
    }
    let mut all = Vec::new();
    for process in running {
        all.push(process.result().await?);
    }
    together(&all)
}

/// Rates add up; latencies are those of the process that fared worst.
fn together(all: &[Measured]) -> Result<Measured, Box<dyn Error>> {
    let first = *all.first().ok_or("no process ran")?;
    Ok(all.iter().skip(1).fold(first, |sum, one| Measured {
        events_per_s: sum.events_per_s + one.events_per_s,
        p50_us: sum.p50_us.max(one.p50_us),
        p99_us: sum.p99_us.max(one.p99_us),
        retries: sum.retries + one.retries,
    }))
}

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(programs: &Path, load: &Load, url: &str, seconds: u64, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let (program, kind) = load.kind.program();
        let mut command = Command::new(programs.join(program));
        command.args(kind).arg("--url").arg(url).current_dir(folder).kill_on_drop(true);
        command.args(["--callers", &load.callers.to_string(), "--seconds", &seconds.to_string()]);
        command.args(["--bytes", &load.bytes.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, output })
    }

    async fn ready(&mut self) -> Result<(), Box<dyn Error>> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        if line == "ready\n" { Ok(()) } else { Err(self.complaint().await) }
    }

    async fn begin(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(mut input) = self.child.stdin.take() {
            // A load that does not wait may be gone already; its result says why.
            let _ = input.write_all(b"begin\n").await;
        }
        Ok(())
    }

    async fn result(mut self) -> Result<Measured, Box<dyn Error>> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        match serde_json::from_str(&line) {
            Ok(measured) => Ok(measured),
            Err(_) => Err(self.complaint().await),
        }
    }

    async fn complaint(&mut self) -> Box<dyn Error> {
        let mut text = String::new();
        if let Some(errors) = &mut self.child.stderr {
            let _ = errors.read_to_string(&mut text).await;
        }
        text.trim().to_owned().into()
    }
}

/// The URL by which every driver finds the database.
fn url(config: &Config) -> Result<String, Box<dyn Error>> {
    let host = match config.get_hosts() {
        [Host::Unix(folder), ..] => folder.to_string_lossy().replace('/', "%2F"),
        [Host::Tcp(name), ..] => name.clone(),
        [] => return Err("the server has no address".into()),
    };
    let (user, database) = (config.get_user().unwrap_or("postgres"), config.get_dbname().unwrap_or("postgres"));
    let password = config.get_password().map(|password| format!(":{}", String::from_utf8_lossy(password)));
    let port = config.get_ports().first().copied().unwrap_or(5432);
    Ok(format!("postgres://{user}{}@{host}:{port}/{database}", password.unwrap_or_default()))
}
