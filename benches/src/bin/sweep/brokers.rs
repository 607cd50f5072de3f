//! Brokers that sweep until they are stopped: in this process, or each in one of its own.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jit_benches::deployment::Deployment;
use jit_store::{Backend, MemoryBackend, PostgresBackend, PostgresConfig};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::{Config, config::Host};

const BROKERS: usize = 3;
/// How often each looks for what is due.
const EVERY: Duration = Duration::from_millis(250);

/// Where the brokers are to be.
pub(crate) enum Place {
    /// In this process, on its memory.
    Here(Arc<MemoryBackend>),
    /// In processes of their own, on a database.
    Processes(String),
}

/// Brokers at work.
pub(crate) enum Brokers {
    Here { sweeping: JoinSet<()>, stop: watch::Sender<bool> },
    Processes(Vec<Child>),
}

impl Brokers {
    /// Brokers whose clocks are ahead.
    pub(crate) async fn start(place: &Place, anchor: &Path, ahead: Duration) -> Result<Self, Box<dyn Error>> {
        match place {
            Place::Here(backend) => {
                let (stop, stopped) = watch::channel(false);
                let mut sweeping = JoinSet::new();
                for _ in 0..BROKERS {
                    let deployment = Deployment::beside(backend.clone(), anchor, ahead).await?;
                    let stopped = stopped.clone();
                    sweeping.spawn(async move { deployment.broker().run(EVERY, stopped).await });
                }
                Ok(Self::Here { sweeping, stop })
            }
            Place::Processes(connection) => {
                let mut processes = Vec::new();
                for _ in 0..BROKERS {
                    let mut broker = Command::new(env::current_exe()?);
                    broker.args(["broker", connection]).arg(anchor).arg(ahead.as_micros().to_string());
                    processes.push(broker.stdin(Stdio::piped()).kill_on_drop(true).spawn()?);
                }
                Ok(Self::Processes(processes))
            }
        }
    }

    /// Stops them, each after its sweep.
    pub(crate) async fn stop(self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Here { mut sweeping, stop } => {
                stop.send(true)?;
                while let Some(ended) = sweeping.join_next().await {
                    ended?;
                }
            }
            Self::Processes(processes) => {
                for mut process in processes {
                    drop(process.stdin.take());
                    let status = process.wait().await?;
                    if !status.success() {
                        return Err(format!("a broker ended with {status}").into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The broker that such a process is: it sweeps until its standard input ends.
pub(crate) async fn serve(connection: &str, anchor: &str, ahead_us: u64) -> Result<(), Box<dyn Error>> {
    let backend = backend(connection).await?;
    let deployment = Deployment::beside(backend, anchor, Duration::from_micros(ahead_us)).await?;
    let (stop, stopped) = watch::channel(false);
    let broker = deployment.broker().clone();
    let sweeping = tokio::spawn(async move { broker.run(EVERY, stopped).await });
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    stop.send(true)?;
    Ok(sweeping.await?)
}

/// A connection pool of its own, as each broker has.
pub(crate) async fn backend(connection: &str) -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    let settings = PostgresConfig::new(connection.parse()?);
    PostgresBackend::migrate(&settings).await?;
    Ok(Arc::new(PostgresBackend::connect(settings).await?))
}

/// How another process connects to a server of this one.
pub(crate) fn connection_string(config: &Config) -> Result<String, Box<dyn Error>> {
    let ([Host::Unix(folder), ..], [port, ..]) = (config.get_hosts(), config.get_ports()) else {
        return Err("a server of its own is needed: unset JIT_TEST_POSTGRES_URL".into());
    };
    let (user, database) = (config.get_user().unwrap_or_default(), config.get_dbname().unwrap_or_default());
    Ok(format!("host={} port={port} user={user} dbname={database}", folder.display()))
}
