//! How a log is opened: who signs it, where its anchor is, how long it keeps what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jit_core::{Clock, Entropy, IndexKey, LogOrigin, Recorder, WriterId};
use jit_log::{Origin, OriginError, PolicyLineError, TrustPolicy};

use crate::anchor::Anchor;
use crate::retention::RetentionPolicy;
use crate::signer::CheckpointSigner;
use crate::system::OsEntropy;

/// What must have happened to a record before an effect may rest on it: before a receipt is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EffectRequirement {
    /// It is under a signed checkpoint that is kept in the database; the anchor follows.
    Signed,
    /// The signed checkpoint is in the anchor, outside the database, as well.
    #[default]
    Anchored,
    /// Witnesses have cosigned the checkpoint. Not supported by this version: a log does not open with it.
    Cosigned,
}

/// Everything a log needs besides its database. There is no default for what must be chosen.
#[derive(Clone)]
#[must_use]
pub struct LogConfig {
    pub(crate) signer: Arc<dyn CheckpointSigner>,
    pub(crate) anchor: Arc<dyn Anchor>,
    pub(crate) retention: RetentionPolicy,
    pub(crate) index_key: IndexKey,
    pub(crate) writer: WriterId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) effects: EffectRequirement,
    pub(crate) heartbeat: Duration,
    pub(crate) queue: usize,
    pub(crate) accept_missing_anchor: bool,
}

impl LogConfig {
    /// A log whose origin is the name of the signer's key. `writer` names this process instance and is new at every
    /// start; `index_key` is the same as ever and is kept outside the database.
    pub fn new(
        signer: Arc<dyn CheckpointSigner>,
        anchor: Arc<dyn Anchor>,
        retention: RetentionPolicy,
        index_key: IndexKey,
        writer: WriterId,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            signer,
            anchor,
            retention,
            index_key,
            writer,
            clock,
            entropy: Arc::new(OsEntropy),
            effects: EffectRequirement::default(),
            heartbeat: Duration::from_secs(3600),
            queue: 4096,
            accept_missing_anchor: false,
        }
    }

    /// Takes randomness from elsewhere than the operating system.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// What effects require. The default is [`EffectRequirement::Anchored`].
    pub fn effects(mut self, effects: EffectRequirement) -> Self {
        self.effects = effects;
        self
    }

    /// After how long a silence a heartbeat is due; whole seconds, one at least. The default is an hour.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How many appends may wait before [`Overloaded`](crate::AppendError::Overloaded) is answered. The default is 4,096.
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// Opens a log whose anchor is lost. Nothing then shows whether the database was rolled back; that the operator
    /// accepted this is recorded in the log.
    pub fn accept_missing_anchor(mut self) -> Self {
        self.accept_missing_anchor = true;
        self
    }

    pub(crate) fn heartbeat_s(&self) -> u32 {
        u32::try_from(self.heartbeat.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    pub(crate) fn recorder(&self, origin: &LogOrigin) -> Recorder {
        Recorder::new(origin.clone(), self.writer, Arc::clone(&self.clock), Arc::clone(&self.entropy))
    }

    /// Who the log is, and whom its readers trust.
    pub(crate) fn identity(&self) -> Result<(LogOrigin, TrustPolicy), ConfigError> {
        if self.effects == EffectRequirement::Cosigned {
            return Err(ConfigError::CosignedUnsupported);
        }
        let key = self.signer.verifier();
        let origin = Origin::parse(key.name().as_str())?;
        Ok((origin.into(), TrustPolicy::new_log_only(key)?))
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("signer", &self.signer)
            .field("anchor", &self.anchor)
            .field("retention", &self.retention)
            .field("writer", &self.writer)
            .field("effects", &self.effects)
            .field("heartbeat", &self.heartbeat)
            .field("queue", &self.queue)
            .field("accept_missing_anchor", &self.accept_missing_anchor)
            .finish_non_exhaustive()
    }
}

/// Why no log can be had with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Effects were to require cosignatures.
    #[error("effects that require cosignatures are not supported by this version")]
    CosignedUnsupported,
    /// The name of the signer's key is not an origin.
    #[error("the signer's key does not name a log")]
    Origin(#[from] OriginError),
    /// The signer's key is not one that signs checkpoints.
    #[error("the signer's key cannot sign checkpoints")]
    Key(#[from] PolicyLineError),
}
