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

/// What the processes of a load did together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) events_per_s: f64,
    /// Of all callers of all processes.
    pub(crate) p50_us: f64,
    /// Of the process that fared worst.
    pub(crate) p99_us: f64,
    /// Appends to a stream nobody else writes to that were refused all the same.
    pub(crate) retries: f64,
    /// What the process appended that appended least.
    pub(crate) slowest_per_s: f64,
    /// What the process appended that appended most.
    pub(crate) fastest_per_s: f64,
}

/// What a process prints.
#[derive(Debug, Deserialize)]
struct Printed {
    events_per_s: f64,
    /// From the shortest latency to the longest.
    percentiles_us: Vec<f64>,
    retries: f64,
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

fn together(all: &[Printed]) -> Result<Measured, Box<dyn Error>> {
    let rates = || all.iter().map(|one| one.events_per_s);
    let p99s = all.iter().map(|one| one.percentiles_us.get(99).copied().unwrap_or_default());
    Ok(Measured {
        events_per_s: rates().sum(),
        p50_us: median_of_all(all).ok_or("no process ran")?,
        p99_us: p99s.fold(0.0, f64::max),
        retries: all.iter().map(|one| one.retries).sum(),
        slowest_per_s: rates().fold(f64::INFINITY, f64::min),
        fastest_per_s: rates().fold(0.0, f64::max),
    })
}

/// The latency that half of all events took at most; each percentile of a process stands for a hundredth of its events.
fn median_of_all(all: &[Printed]) -> Option<f64> {
    let of_one = |one: &'_ Printed| {
        let weight = one.events_per_s;
        one.percentiles_us.iter().map(move |us| (*us, weight)).collect::<Vec<_>>()
    };
    let mut latencies: Vec<(f64, f64)> = all.iter().flat_map(of_one).collect();
    latencies.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = latencies.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let below = latencies.iter().scan(0.0, |sum, (us, weight)| {
        *sum += weight;
        Some((*us, *sum))
    });
    below.into_iter().find(|(_, sum)| *sum >= half).map(|(us, _)| us)
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

    async fn result(mut self) -> Result<Printed, Box<dyn Error>> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        match serde_json::from_str(&line) {
            Ok(printed) => Ok(printed),
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
