//! `jit-audit witness`: a small witness for auditors who want to run one.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use jit_audit::{WitnessServer, WitnessState};
use jit_log::{KeyName, Origin, TrustPolicy, Witness};
use jit_store::KeyFile;
use lexopt::prelude::{Long, ValueExt as _};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use crate::UsageError;

pub(crate) const HELP: &str = "
  jit-audit witness --listen ADDRESS:PORT --key FILE --state DIR --log VKEY [--log VKEY…]
      Runs a witness: it cosigns the checkpoints of these logs as long as each extends the last it cosigned, and so
      notices a log that was rolled back or shows two faces. DIR is its memory; never restore it from a backup.
      It speaks plain HTTP (C2SP tlog-witness); put a TLS proxy before it on any but a loopback address.

  jit-audit witness-key NAME --key FILE
      Makes the key of a witness, in a new file that only you can read, and prints its public half.
";

/// How long requests in flight may take when the witness is told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Makes a key, and prints the public half.
pub(crate) fn make_key(out: &mut impl Write, arguments: &mut lexopt::Parser) -> Result<bool, UsageError> {
    let (mut name, mut file) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("key") => file = Some(KeyFile::new(PathBuf::from(arguments.value()?))),
            lexopt::Arg::Value(word) if name.is_none() => name = Some(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(name), Some(file)) = (name, file) else { return Err(UsageError::NothingToDo) };
    let name = KeyName::parse(&name).map_err(|error| UsageError::Witness(error.to_string()))?;
    let key = file.generate_cosigner(name).map_err(|error| failed(&error))?;
    writeln!(out, "{}", key.verifier())?;
    Ok(true)
}

/// Runs the witness until it is told to stop by an interrupt or `SIGTERM`.
pub(crate) fn run(arguments: &mut lexopt::Parser) -> Result<bool, UsageError> {
    let (mut listen, mut file, mut folder, mut logs) = (None, None, None, String::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("listen") => listen = Some(arguments.value()?.parse::<SocketAddr>()?),
            Long("key") => file = Some(KeyFile::new(PathBuf::from(arguments.value()?))),
            Long("state") => folder = Some(PathBuf::from(arguments.value()?)),
            Long("log") => logs.push_str(&format!("log {}\n", arguments.value()?.string()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(listen), Some(file), Some(folder)) = (listen, file, folder) else { return Err(UsageError::NothingToDo) };
    if logs.is_empty() {
        return Err(UsageError::Witness("`--log VKEY` is missing: a witness knows whom it watches".to_owned()));
    }
    let logs = TrustPolicy::parse(&format!("{logs}quorum none\n"));
    let logs = logs.map_err(|error| UsageError::Witness(format!("`--log`: {error}")))?;
    let witness = Witness::new(file.cosigner().map_err(|error| failed(&error))?, &logs);
    fs::create_dir_all(&folder)?;
    tokio::runtime::Runtime::new()?.block_on(serve(listen, witness, folder, &logs))?;
    Ok(true)
}

async fn serve(listen: SocketAddr, witness: Witness, folder: PathBuf, logs: &TrustPolicy) -> Result<(), UsageError> {
    let vkey = witness.verifier();
    let state = WitnessState::new(witness, folder);
    let origins: Vec<Origin> = logs.log_keys().filter_map(|key| Origin::parse(key.name().as_str()).ok()).collect();
    state.check(&origins).await.map_err(|error| failed(&error))?;
    let stop = stopping()?;
    let listener = TcpListener::bind(listen).await?;
    announce(&format!("witness {vkey}\nlistening on http://{}\n", listener.local_addr()?))?;
    let server = tokio::spawn(WitnessServer::new(state).serve(listener, until(stop.clone())));
    until(stop).await;
    match timeout(FAREWELL, server).await {
        Ok(served) => Ok(served.map_err(io::Error::other)??),
        // What was cosigned is stored; a client that does not hang up is not waited for.
        Err(_) => Ok(()),
    }
}

/// Says at once who it is, and where; nobody needs to listen.
fn announce(lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Becomes true when the process is interrupted or told to end.
fn stopping() -> Result<watch::Receiver<bool>, UsageError> {
    let (stop, stopped) = watch::channel(false);
    #[cfg(unix)]
    {
        let stop = stop.clone();
        let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::spawn(async move {
            signal.recv().await;
            stop.send_replace(true);
        });
    }
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.send_replace(true);
        }
    });
    Ok(stopped)
}

/// Whatever became of those who could tell, the wait is over.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// An error with what caused it.
fn failed(error: &dyn std::error::Error) -> UsageError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    UsageError::Witness(format!("{error}{cause}"))
}
