//! The broker: a log, a policy, issuers, and the acts that compose them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use jit_core::{ApprovalContent, Case, CaseId, Clock, IndexKey, IssuerName, Lookup, Principal, Recorder};
use jit_issuer::CredentialIssuer;
use jit_policy::{Eligibility, Evaluator, FactSource};
use jit_store::Log;

use crate::{
    alarming::{Alarm, Traced},
    announcing::{Announcer, TracedEmergency},
    approving::{ApproverKeys, NoKeys},
    config::Settings,
    error::BrokerError,
    evaluating::Patient,
    refusing::Refusals,
};

/// Composes log, policy and issuers into the lifecycle of access. Clones share everything.
#[derive(Clone)]
pub struct Broker {
    pub(crate) log: Log,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) index_key: IndexKey,
    pub(crate) settings: Settings,
    pub(crate) eligibility: Arc<dyn Eligibility>,
    pub(crate) sources: Arc<[Arc<dyn FactSource>]>,
    pub(crate) issuers: Arc<BTreeMap<IssuerName, Arc<dyn CredentialIssuer>>>,
    pub(crate) unattended: Option<Unattended>,
    pub(crate) policy: Arc<RwLock<Option<Arc<Evaluator>>>>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) alarm: Arc<dyn Alarm>,
    pub(crate) announcer: Arc<dyn Announcer>,
    pub(crate) keys: Arc<dyn ApproverKeys>,
}

/// Names the issuer whose credentials for a case are minted while nobody waits for them.
pub(crate) type Unattended = Arc<dyn Fn(&Case) -> Option<IssuerName> + Send + Sync>;

/// Makes a [`Broker`].
#[must_use = "a broker is made by build()"]
pub struct BrokerBuilder {
    log: Log,
    eligibility: Arc<dyn Eligibility>,
    settings: Settings,
    sources: Vec<Arc<dyn FactSource>>,
    issuers: BTreeMap<IssuerName, Arc<dyn CredentialIssuer>>,
    unattended: Option<Unattended>,
    alarm: Arc<dyn Alarm>,
    announcer: Arc<dyn Announcer>,
    keys: Arc<dyn ApproverKeys>,
}

impl BrokerBuilder {
    /// Adds an issuer under its own name; a later one of the same name takes its place.
    pub fn issuer(mut self, issuer: Arc<dyn CredentialIssuer>) -> Self {
        self.issuers.insert(issuer.name().clone(), issuer);
        self
    }

    /// Adds a source of facts that policies decide on.
    pub fn facts(mut self, source: Arc<dyn FactSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// Names the issuer, if there is one, whose credential for a case is minted when its scheduled window opens, and again when
    /// it is extended. It is for credentials without secret, such as a membership: a secret needs somebody to hand it to, so
    /// its holder asks for it with [`Broker::issue`] once the window is open. The default is none.
    pub fn mint_unattended(mut self, choose: impl Fn(&Case) -> Option<IssuerName> + Send + Sync + 'static) -> Self {
        self.unattended = Some(Arc::new(choose));
        self
    }

    /// Takes whoever is told when a credential cannot be taken back. The default is an error in the trace.
    pub fn alarm(mut self, alarm: Arc<dyn Alarm>) -> Self {
        self.alarm = alarm;
        self
    }

    /// Takes whoever tells people of emergencies. The default is an error in the trace.
    pub fn announcer(mut self, announcer: Arc<dyn Announcer>) -> Self {
        self.announcer = announcer;
        self
    }

    /// Takes whoever knows the keys that approvals are signed with. By default none is known, and no approval that claims an Ed25519
    /// signature is taken.
    pub fn approver_keys(mut self, keys: Arc<dyn ApproverKeys>) -> Self {
        self.keys = keys;
        self
    }

    /// Takes other settings than the defaults.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The broker. No policy is in force before [`Broker::publish`] or [`Broker::adopt`].
    #[must_use]
    pub fn build(self) -> Broker {
        let recorder = self.log.recorder();
        let timeout = self.settings.fact_timeout;
        let patient = |source| Arc::new(Patient { source, timeout }) as Arc<dyn FactSource>;
        Broker {
            clock: Arc::clone(recorder.clock()),
            recorder,
            index_key: self.log.index_key().clone(),
            log: self.log,
            refusals: Arc::new(Refusals::new(self.settings.refusal_interval)),
            settings: self.settings,
            alarm: self.alarm,
            announcer: self.announcer,
            keys: self.keys,
            eligibility: self.eligibility,
            sources: self.sources.into_iter().map(patient).collect(),
            issuers: Arc::new(self.issuers),
            unattended: self.unattended,
            policy: Arc::default(),
        }
    }
}

impl Broker {
    /// Begins a broker on a log. `eligibility` says who belongs to which group of approvers.
    pub fn builder(log: Log, eligibility: Arc<dyn Eligibility>) -> BrokerBuilder {
        let (settings, sources, issuers) = (Settings::default(), Vec::new(), BTreeMap::new());
        BrokerBuilder {
            log,
            eligibility,
            settings,
            sources,
            issuers,
            unattended: None,
            alarm: Arc::new(Traced),
            announcer: Arc::new(TracedEmergency::default()),
            keys: Arc::new(NoKeys),
        }
    }

    /// The log it records in.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A case as its records say.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchCase`], or whatever kept it from being read.
    pub async fn case(&self, id: CaseId) -> Result<Case, BrokerError> {
        self.load_existing(id).await
    }

    /// What an approver must be shown, and hands back with the approval. `None` unless approvals are awaited.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchCase`], or whatever kept the case from being read.
    pub async fn approval_content(
        &self,
        case: CaseId,
        approver: &Principal,
    ) -> Result<Option<ApprovalContent>, BrokerError> {
        Ok(self.load_existing(case).await?.approval_content(approver))
    }

    /// The cases with a record found under a name: an id, a resource, a subject, an external reference. In the order in
    /// which they were recorded, each once, at most `limit` records looked at.
    ///
    /// # Errors
    /// [`BrokerError::Read`] if the log cannot be read.
    pub async fn find(&self, lookup: &Lookup, limit: usize) -> Result<Vec<CaseId>, BrokerError> {
        let mut cases = Vec::new();
        for record in self.log.find(lookup, 0, limit).await? {
            if let jit_core::StreamId::Case(id) = record.record().header().stream
                && !cases.contains(&id)
            {
                cases.push(id);
            }
        }
        Ok(cases)
    }

    pub(crate) fn issuer(&self, name: &IssuerName) -> Result<&Arc<dyn CredentialIssuer>, BrokerError> {
        self.issuers.get(name).ok_or_else(|| BrokerError::NoSuchIssuer(name.clone()))
    }

    pub(crate) fn evaluator(&self) -> Result<Arc<Evaluator>, BrokerError> {
        // A thread that panicked while swapping the pointer cannot have left half of one.
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(BrokerError::NoPolicy)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("log", self.log.origin())
            .field("issuers", &self.issuers.keys())
            .finish_non_exhaustive()
    }
}
