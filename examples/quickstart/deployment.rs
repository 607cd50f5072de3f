//! What a team composes: a log with its keys and retention, a policy, a directory, an issuer, and the broker over them.

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use jit_broker::Broker;
use jit_core::{
    Clock, ExternalId, IndexKey, Issuer, IssuerName, Line, RetentionClass, RetentionTerms, SystemName, TextError,
    WriterId, random_bytes,
};
use jit_issuer::{
    jwt::{JwtIssuer, KeySchedule},
    key::LocalKey,
};
use jit_log::{Origin, SignerKey};
use jit_policy::{
    EntityDirectory, FilePath, PolicyBundle, PolicyEngine, PolicySnapshot, Target,
    cedar::{CedarEngine, ENTRYPOINT},
};
use jit_store::{
    AGENT_CLASS, Ed25519Signer, FileAnchor, GOVERNANCE_CLASS, Log, LogConfig, OsEntropy, RetentionPolicy,
    SqliteBackend, SqliteError,
};

use crate::{clock::DrivenClock, evidence::Folder, keys::Keys};

/// The name of the log, in every record and checkpoint.
const ORIGIN: &str = "jit.example/evidence/quickstart";
/// The file among the policies that declares types.
const SCHEMA: &str = "schema.cedarschema";

/// How much later than the last record of a run the next one begins.
const BETWEEN_RUNS: Duration = Duration::from_secs(60);

/// Everything that a broker is made of.
pub(crate) struct Deployment {
    pub(crate) log: Log,
    /// How many records there were; none if the log is new.
    pub(crate) continued_at: u64,
    pub(crate) broker: Broker,
    pub(crate) issuer: Arc<JwtIssuer>,
    pub(crate) issuer_name: IssuerName,
}

impl Deployment {
    /// Opens the log in the folder and checks it against its anchor, or creates one where there is none; and a broker on it.
    pub(crate) async fn open(
        folder: &Folder,
        clock: Arc<DrivenClock>,
        directory: &[u8],
    ) -> Result<Self, Box<dyn Error>> {
        let directory = Arc::new(EntityDirectory::parse(SystemName::new("directory.example")?, directory)?);
        let keys = Keys::open(&folder.path("keys"))?;
        let config = LogConfig::new(
            Arc::new(Ed25519Signer::new(SignerKey::from_seed(Origin::parse(ORIGIN)?, keys.checkpoints))),
            Arc::new(FileAnchor::new(folder.anchor())),
            retention()?,
            IndexKey::from_bytes(keys.index),
            WriterId::v7(clock.now().at, random_bytes(&OsEntropy)?),
            Arc::clone(&clock) as _,
        );
        // Opening creates neither a file nor a log: that a database is gone must never look like one that is new.
        let (log, continued_at) = match SqliteBackend::open(folder.database()).await {
            Err(SqliteError::NotFound { .. }) => {
                let backend = SqliteBackend::create_new(folder.database()).await?;
                (Log::create(Arc::new(backend), config).await?, 0)
            }
            opened => {
                let log = Log::open(Arc::new(opened?), config).await?;
                let size = log.size().await?;
                (log, size)
            }
        };
        if let Some(last) = log.records(&Vec::from_iter(continued_at.checked_sub(1))).await?.first() {
            // The hours of the run before lie ahead of the present.
            clock.advance_to(last.record().header().at.saturating_add(BETWEEN_RUNS));
        }
        let issuer_name = IssuerName::new("access-tokens")?;
        let issuer = Arc::new(token_issuer(issuer_name.clone(), keys.tokens)?);
        let broker = Broker::builder(log.clone(), Arc::clone(&directory) as _)
            .facts(directory)
            .issuer(Arc::clone(&issuer) as _)
            .build();
        Ok(Self { log, continued_at, broker, issuer, issuer_name })
    }
}

/// Loads every file of a folder as one policy.
pub(crate) fn load_policy(folder: &Path) -> Result<Arc<dyn PolicySnapshot>, Box<dyn Error>> {
    let engine = CedarEngine::new()?;
    let descriptor = engine.descriptor();
    let target =
        Target { engine: descriptor.name.clone(), language: descriptor.language.clone(), entrypoint: ENTRYPOINT };
    let mut files = Vec::new();
    let listed = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in listed {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("the name of a policy file is not UTF-8")?;
        files.push((FilePath::new(name)?, fs::read(&path)?));
    }
    let bundle = PolicyBundle::new(target, Some(FilePath::new(SCHEMA)?), files)?;
    Ok(engine.load(&bundle)?)
}

fn token_issuer(name: IssuerName, seed: [u8; 32]) -> Result<JwtIssuer, Box<dyn Error>> {
    Ok(JwtIssuer::new(
        name,
        Issuer::new("https://access.example")?,
        ExternalId::new("https://gateway.example")?,
        KeySchedule::new(Arc::new(LocalKey::from_ed25519_seed(seed)))?,
    ))
}

/// How long which evidence is kept: that about agents at least half a year, everything else longer.
fn retention() -> Result<RetentionPolicy, Box<dyn Error>> {
    const DAY: u64 = 24 * 3600;
    let terms = |class: &str, days: u64, basis: &str| -> Result<RetentionTerms, TextError> {
        Ok(RetentionTerms {
            class: RetentionClass::new(class)?,
            min_s: days * DAY,
            max_s: None,
            basis: Line::new(basis)?,
            reviewer: Line::new("records board of the example, 2026")?,
        })
    };
    Ok(RetentionPolicy::new(vec![
        terms(GOVERNANCE_CLASS, 3650, "the evidence is worth nothing without them")?,
        terms(AGENT_CLASS, 365, "internal rule on AI agents")?,
        terms("access", 730, "internal audit rule")?,
    ])?)
}
