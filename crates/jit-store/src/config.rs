//! How a log is opened: who signs it, where its anchor is, how long it keeps what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jit_core::{Clock, Entropy, IndexKey, LogOrigin, Recorder, WriterId};
use jit_log::{Origin, OriginError, PolicyLineError, TrustPolicy, VerifierKey};

use crate::anchor::Anchor;
use crate::retention::RetentionPolicy;
use crate::signer::CheckpointSigner;
use crate::system::OsEntropy;
use crate::witness::Cosigning;

/// What must have happened to a record before an effect may rest on it: before a receipt is given.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum EffectRequirement {
    /// It is under a signed checkpoint that is kept in the database; the anchor follows.
    Signed,
    /// The signed checkpoint is in every anchor, outside the database, as well.
    #[default]
    Anchored,
    /// Witnesses have cosigned the checkpoint, as many as a quorum demands; it is then kept and anchored with their
    /// cosignatures.
    Cosigned(Cosigning),
}

/// Everything a log needs besides its database. There is no default for what must be chosen.
#[derive(Clone)]
#[must_use]
pub struct LogConfig {
    pub(crate) signer: Arc<dyn CheckpointSigner>,
    pub(crate) anchors: Vec<Arc<dyn Anchor>>,
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
            anchors: vec![anchor],
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

    /// Another anchor, to which everything that is said of the anchor applies as well: the log does not open against any that is
    /// ahead of it, and publishes in all of them. What was restored together with one anchor still shows in another.
    pub fn also_anchor(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.anchors.push(anchor);
        self
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

    /// How many appends may wait, beside those under way and up to 1,024 collected for the next batch, before
    /// [`Overloaded`](crate::AppendError::Overloaded) is answered. The default is 4,096.
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

    /// Who the log is, and what its readers demand of a checkpoint.
    pub(crate) fn identity(&self) -> Result<(LogOrigin, TrustPolicy), ConfigError> {
        let key = self.signer.verifier();
        let origin = Origin::parse(key.name().as_str())?;
        let readers = match &self.effects {
            EffectRequirement::Cosigned(cosigning) => {
                if cosigning.policy().log_keys().all(|known| *known != key) {
                    return Err(ConfigError::LogNotInPolicy { key: Box::new(key) });
                }
                cosigning.policy().clone()
            }
            _ => TrustPolicy::new_log_only(key)?,
        };
        Ok((origin.into(), readers))
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("signer", &self.signer)
            .field("anchors", &self.anchors)
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
    /// Effects are to require cosignatures under a policy that does not trust the signer's own key.
    #[error("the policy for cosignatures does not trust the signer's key {key}")]
    LogNotInPolicy {
        /// The signer's key.
        key: Box<VerifierKey>,
    },
    /// The name of the signer's key is not an origin.
    #[error("the signer's key does not name a log")]
    Origin(#[from] OriginError),
    /// The signer's key is not one that signs checkpoints.
    #[error("the signer's key cannot sign checkpoints")]
    Key(#[from] PolicyLineError),
}
