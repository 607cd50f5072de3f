//! `jit-audit fsck`: verifies everything that a database holds of a log.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use jit_core::{IndexKey, LogOrigin};
use jit_log::TrustPolicy;
use jit_policy::SnapshotDocument;
use jit_store::{
    Backend, FileAnchor, FsckConfig, FsckPhase, FsckProgress, FsckReport, PostgresBackend, PostgresConfig, SchemaName,
    SqliteBackend, fsck,
};
use lexopt::prelude::{Long, Value, ValueExt as _};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::json;

use crate::{UsageError, chain, read_at_most, read_trust};

pub(crate) const HELP: &str = "
  jit-audit fsck STORE --policy TRUST [--anchor FILE…] [--index-key FILE] [--json]
      Verifies everything that a database holds of a log, and only reads. STORE is postgresql://USER@HOST/DATABASE (any
      number of brokers may go on writing) or the file of a SQLite log (no broker may have it open). Each damage is a line
        DAMAGE name: what is wrong
      Exit status 0 says that nothing is wrong, 1 that something is, 2 that the log could not be examined.
      --anchor FILE     holds the log against a checkpoint kept outside the database; without any, nothing shows that
                        an older backup was restored
      --index-key FILE  the log's index key as 64 hexadecimal digits; without it look-up entries are not compared
      --log ORIGIN      which log, if TRUST names several
      --limit NUMBER    how many damages are listed, 1000 by default; the others are counted
      --json            prints one JSON object
      --quiet           does not say on standard error how far it has come
      --schema NAME     PostgreSQL: the schema of the log, `jit` by default
      --ca FILE         PostgreSQL: speaks TLS, and trusts the certificate authorities in this PEM file alone
      A password may be left out of STORE and given in the environment variable PGPASSWORD.
";

/// More than an index key with a line end has, in bytes.
const MAX_KEY: usize = 128;
/// How often it says how far it has come.
const OFTEN: Duration = Duration::from_secs(1);

/// What is to be verified, and against what.
#[derive(Default)]
struct Order {
    store: Option<OsString>,
    policy: Option<PathBuf>,
    origin: Option<String>,
    anchors: Vec<PathBuf>,
    index_key: Option<PathBuf>,
    limit: Option<usize>,
    schema: Option<String>,
    ca: Option<PathBuf>,
    json: bool,
    quiet: bool,
}

/// Verifies a stored log; the answer is whether nothing is wrong with it.
pub(crate) fn run(out: &mut impl Write, arguments: &mut lexopt::Parser) -> Result<bool, UsageError> {
    let mut order = Order::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("policy") => order.policy = Some(arguments.value()?.into()),
            Long("log") => order.origin = Some(arguments.value()?.string()?),
            Long("anchor") => order.anchors.push(arguments.value()?.into()),
            Long("index-key") => order.index_key = Some(arguments.value()?.into()),
            Long("limit") => order.limit = Some(arguments.value()?.parse()?),
            Long("schema") => order.schema = Some(arguments.value()?.string()?),
            Long("ca") => order.ca = Some(arguments.value()?.into()),
            Long("json") => order.json = true,
            Long("quiet") => order.quiet = true,
            Value(word) if order.store.is_none() => order.store = Some(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let store = order.store.as_deref().ok_or(UsageError::NothingToDo)?;
    let config = order.config()?;
    let report = tokio::runtime::Runtime::new()?.block_on(async {
        let backend: Box<dyn Backend> = match store.to_str().filter(|store| is_postgres(store)) {
            Some(url) => {
                Box::new(PostgresBackend::connect(order.postgres(url)?).await.map_err(|error| failed(&error))?)
            }
            None => Box::new(SqliteBackend::open(Path::new(store)).await.map_err(|error| failed(&error))?),
        };
        let mut progress = Progress::new(order.quiet);
        fsck(&*backend, &config, &mut |done| progress.say(done)).await.map_err(|error| failed(&error))
    })?;
    if order.json {
        writeln!(out, "{}", to_json(&report))?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(report.is_clean())
}

fn is_postgres(store: &str) -> bool {
    store.starts_with("postgresql://") || store.starts_with("postgres://")
}

impl Order {
    fn config(&self) -> Result<FsckConfig, UsageError> {
        let trust = read_trust(self.policy.as_deref().ok_or(UsageError::NoPolicy)?)?;
        let mut config = FsckConfig::new(self.origin(&trust)?, trust).snapshots(|bytes| {
            let document = SnapshotDocument::parse(bytes).ok()?;
            Some(document.digest())
        });
        for path in &self.anchors {
            config = config.anchor(Arc::new(FileAnchor::new(path)));
        }
        if let Some(path) = &self.index_key {
            config = config.index_key(read_index_key(path)?);
        }
        if let Some(limit) = self.limit {
            config = config.limit(limit);
        }
        Ok(config)
    }

    /// The log that is named, or the only one that the trust policy knows.
    fn origin(&self, trust: &TrustPolicy) -> Result<LogOrigin, UsageError> {
        let mut known = trust.log_keys().map(|key| key.name().as_str());
        let name = match (&self.origin, known.next()) {
            (Some(name), _) => name,
            (None, Some(only)) if known.all(|other| other == only) => only,
            (None, _) => {
                return Err(UsageError::Fsck("`--log ORIGIN` is missing: TRUST names several logs".to_owned()));
            }
        };
        name.parse().map_err(|error| UsageError::Fsck(format!("`{name}` is not the name of a log: {error}")))
    }

    fn postgres(&self, url: &str) -> Result<PostgresConfig, UsageError> {
        let mut connection: tokio_postgres::Config = url.parse().map_err(|error| failed(&error))?;
        if let (None, Ok(password)) = (connection.get_password(), std::env::var("PGPASSWORD")) {
            connection.password(password);
        }
        let mut config = PostgresConfig::new(connection);
        if let Some(name) = &self.schema {
            config = config.schema(SchemaName::new(name).map_err(|error| failed(&error))?);
        }
        if let Some(path) = &self.ca {
            config = config.tls(tls(path)?);
        }
        Ok(config)
    }
}

fn read_index_key(path: &Path) -> Result<IndexKey, UsageError> {
    let text = read_at_most(path, MAX_KEY)?;
    let key = HEXLOWER.decode(text.trim_ascii_end()).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
    let wrong = || UsageError::Fsck(format!("{} does not hold 64 lower-case hexadecimal digits", path.display()));
    key.map(IndexKey::from_bytes).ok_or_else(wrong)
}

/// Trusts the authorities in a PEM file, and nobody else.
fn tls(path: &Path) -> Result<ClientConfig, UsageError> {
    let wrong = |error: &dyn std::error::Error| UsageError::Fsck(format!("{}: {}", path.display(), chain(error)));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(UsageError::Fsck(format!("{} holds no certificate", path.display())));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(|error| wrong(&error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Says on standard error how far the verification has come, now and then.
struct Progress {
    quiet: bool,
    said: Option<(FsckPhase, Instant)>,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Self { quiet, said: None }
    }

    fn say(&mut self, progress: FsckProgress) {
        let FsckProgress { phase, done, total, damages } = progress;
        let recent = self.said.is_some_and(|(last, when)| last == phase && when.elapsed() < OFTEN);
        if self.quiet || (recent && total != Some(done)) {
            return;
        }
        self.said = Some((phase, Instant::now()));
        let what = match phase {
            FsckPhase::Records => "records read",
            FsckPhase::Projections => "entries compared",
            _ => "records read again",
        };
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        // Nobody needs to listen.
        let _ = writeln!(io::stderr(), "{done}{of} {what}, {damages} damages");
    }
}

fn to_json(report: &FsckReport) -> serde_json::Value {
    let damages = report.damages.iter().map(|damage| json!({ "name": damage.name(), "text": damage.to_string() }));
    json!({
        "clean": report.is_clean(),
        "log": report.origin.as_str(),
        "records": report.size,
        "root": report.root.to_string(),
        "streams": report.streams,
        "payloads": report.payloads,
        "tiles": report.tiles,
        "checkpoints": report.checkpoints,
        "anchors": report.anchors,
        "policies": report.snapshots,
        "lookups_compared": report.lookups_compared,
        "damages": damages.collect::<Vec<_>>(),
        "more": report.more,
    })
}

/// An error with what caused it.
fn failed(error: &dyn std::error::Error) -> UsageError {
    UsageError::Fsck(chain(error))
}
