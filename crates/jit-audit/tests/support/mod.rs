//! A log in memory with real cases in it: every record is made by the state machine and sealed by a recorder.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jit_audit::{Bundle, BundleBuilder};
use jit_core::{
    Action, Approve, Case, CaseId, Clock, ClockInfo, ClockReading, ClockSource, Code, Command, CommandId, Context,
    CrashClass, CredentialDescriptor, CredentialId, DeterminingRule, Effect, Engine, Entitlement, Entropy,
    EntropyError, EvaluatedDecision, EvaluationPurpose, Event, ExternalDigest, ExternalId, GroupName, Identity,
    IndexKey, Intend, IssuerCapabilities, IssuerName, Justification, Kind, ParentState, PolicyDigest, PolicyPublished,
    Principal, Prose, Refs, Request, RequestLimits, RetentionClass, RetentionTerms, RuleId, Scope, StepOrigin,
    StreamId, Timestamp, Version, Window, WriterId, canonical::Value, is_end,
};
use jit_log::{KeyName, SignerKey, TrustPolicy};
use jit_policy::{
    CanonicalInput, Evaluator, FilePath, Gathered, LoadError, PolicyBundle, PolicyEngine, PolicySnapshot,
    RawEvaluation, RawObligation, SnapshotDocument, Target,
};
use jit_store::{
    AGENT_CLASS, AppendRequest, Backend, Cosigning, Ed25519Signer, EffectRequirement, FileAnchor, GOVERNANCE_CLASS,
    Log, LogConfig, MemoryBackend, RetentionPolicy,
};

pub(crate) const ORIGIN: &str = "audit.example/evidence";
const START: &str = "2026-03-02T09:00:00.000000Z";
const CASE_CLASS: &str = "access";

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub(crate) struct StepClock(AtomicI64);

impl StepClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn now(&self) -> ClockReading {
        ClockReading {
            at: Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap(),
            clock: ClockInfo { source: ClockSource::new("test").unwrap(), error_us: 1000 },
        }
    }
}

/// Randomness that is the same in every run.
pub(crate) struct Seeded(Mutex<u64>, u8);

impl Seeded {
    pub(crate) fn new(seed: u8) -> Self {
        Self(Mutex::new(0), seed)
    }
}

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        let mut drawn = self.0.lock().unwrap();
        *drawn += 1;
        let mut hasher = blake3::Hasher::new_keyed(&[self.1; 32]);
        hasher.update(&drawn.to_be_bytes());
        hasher.finalize_xof().fill(buffer);
        Ok(())
    }
}

/// How a case goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The request comes too late to be accepted; the case is closed.
    Refused,
    /// The policy denies; the case is closed.
    Denied,
    /// Two persons agree, a credential is issued, time ends it; the case is closed.
    Granted,
    /// As granted, up to the issued credential.
    Active,
}

pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) trust: TrustPolicy,
    pub(crate) clock: Arc<StepClock>,
    key: IndexKey,
    entropy: Arc<Seeded>,
    policy: Evaluator,
    anchor: tempfile::TempDir,
}

/// An engine of one rule: whoever wants to write is forbidden, all others are permitted if a lead approves.
pub(crate) struct TableEngine(pub(crate) Engine);

struct TableSnapshot(SnapshotDocument, Engine);

impl PolicyEngine for TableEngine {
    fn descriptor(&self) -> &Engine {
        &self.0
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        let document = SnapshotDocument::new(bundle.clone(), &BTreeSet::from([RuleId::new("oncall").unwrap()]))?;
        Ok(Arc::new(TableSnapshot(document, self.0.clone())))
    }
}

impl PolicySnapshot for TableSnapshot {
    fn document(&self) -> &SnapshotDocument {
        &self.0
    }

    fn engine(&self) -> &Engine {
        &self.1
    }

    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        let permitted = !input.parts().actions.contains(&Action::new("write").unwrap());
        let effect = if permitted { Effect::Permit } else { Effect::Forbid };
        let properties = Value::parse(br#"[{"group":"leads","count":1}]"#).unwrap();
        RawEvaluation {
            permitted,
            determining: vec![DeterminingRule::new(RuleId::new("oncall").unwrap(), effect)],
            errors: Vec::new(),
            obligations: vec![RawObligation { kind: Code::new("approvals").unwrap(), properties }],
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_seed(7).await
    }

    pub(crate) async fn with_seed(seed: u8) -> Self {
        Self::with_policy(seed, &TableEngine(engine()), snapshot("permit by table").bundle()).await
    }

    pub(crate) async fn with_policy(seed: u8, engine: &dyn PolicyEngine, files: &PolicyBundle) -> Self {
        Self::configured(seed, engine, files, |config| config).await
    }

    /// A log over this database.
    pub(crate) async fn over(backend: Arc<dyn Backend>) -> Self {
        let files = snapshot("permit by table");
        Self::on(backend, 7, &TableEngine(engine()), files.bundle(), |config| config).await
    }

    /// A log whose effects require cosignatures.
    pub(crate) async fn cosigned(cosigning: Cosigning) -> Self {
        let effects = EffectRequirement::Cosigned(cosigning);
        let files = snapshot("permit by table");
        Self::configured(7, &TableEngine(engine()), files.bundle(), |config| config.effects(effects)).await
    }

    async fn configured(
        seed: u8,
        engine: &dyn PolicyEngine,
        files: &PolicyBundle,
        configure: impl FnOnce(LogConfig) -> LogConfig,
    ) -> Self {
        Self::on(Arc::new(MemoryBackend::new()), seed, engine, files, configure).await
    }

    async fn on(
        backend: Arc<dyn Backend>,
        seed: u8,
        engine: &dyn PolicyEngine,
        files: &PolicyBundle,
        configure: impl FnOnce(LogConfig) -> LogConfig,
    ) -> Self {
        let policy = Evaluator::new(engine.load(files).unwrap());
        let anchor = tempfile::tempdir().unwrap();
        let clock = Arc::new(StepClock(AtomicI64::new(START.parse::<Timestamp>().unwrap().as_micros())));
        let entropy = Arc::new(Seeded::new(seed));
        let signer = SignerKey::from_seed(KeyName::parse(ORIGIN).unwrap(), [seed; 32]);
        let key = IndexKey::from_bytes([seed; 32]);
        let writer = WriterId::v7(clock.now().at, [seed; 10]);
        let config = LogConfig::new(
            Arc::new(Ed25519Signer::new(signer)),
            Arc::new(FileAnchor::new(anchor.path().join("anchor"))),
            retention(),
            key.clone(),
            writer,
            clock.clone(),
        )
        .entropy(entropy.clone());
        let log = Log::create(backend, configure(config)).await.unwrap();
        let trust = log.trust().clone();
        let world = Self { log, trust, clock, key, entropy, policy, anchor };
        world.publish_policy().await;
        world
    }

    /// The checkpoint that is kept outside the database.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.anchor.path().join("anchor")
    }

    pub(crate) fn policy(&self) -> PolicyDigest {
        self.policy.document().digest()
    }

    async fn publish_policy(&self) {
        let digest = self.policy();
        let event = PolicyPublished { snapshot: digest, by: person("policy-admin").id() };
        let class = RetentionClass::new(GOVERNANCE_CLASS).unwrap();
        let recorder = self.log.recorder();
        let draft = recorder.draft(StreamId::Policy, event.into(), Refs::default(), class, self.clock.now()).unwrap();
        let request = AppendRequest::new().draft(draft).blob(digest.into(), self.policy.document().to_bytes().unwrap());
        self.log.append(request).await.unwrap().receipt().await.unwrap();
    }

    /// Runs one case; cases of different names are different.
    pub(crate) async fn run(&self, name: &str, plan: Plan) -> CaseId {
        let command = CommandId::v8([name.len() as u8; 16]);
        let command =
            CommandId::v8(std::array::from_fn(|i| name.as_bytes().get(i).copied().unwrap_or(command.as_bytes()[i])));
        let mut run = Run::new(self, self.key.case(command));
        if plan == Plan::Refused {
            let late = self.request("read");
            run.clock(7200);
            run.go(Command::Submit(late)).await;
            run.go(Command::Close).await;
            return run.case.id();
        }
        let request = self.request(if plan == Plan::Denied { "write" } else { "read" });
        run.go(Command::Submit(request.clone())).await;
        run.clock(1);
        run.go(Command::Evaluate(self.evaluated(&request, EvaluationPurpose::Request))).await;
        if plan != Plan::Denied {
            run.clock(60);
            run.approve().await;
            run.clock(5);
            run.mint(&request).await;
        }
        if plan == Plan::Granted {
            run.clock(3600);
            run.go(Command::Expire).await;
            let credential = *run.case.credentials().keys().next().unwrap();
            run.clock(60);
            run.go(Command::CredentialExpired { credential }).await;
        }
        if plan != Plan::Active {
            run.go(Command::Close).await;
        }
        run.case.id()
    }

    pub(crate) async fn bundle(&self, case: CaseId) -> Bundle {
        BundleBuilder::case(&self.log, case, person("auditor").id()).build().await.unwrap()
    }

    pub(crate) async fn bundle_without(&self, case: CaseId, fields: &[&str]) -> Bundle {
        BundleBuilder::case(&self.log, case, person("auditor").id())
            .withhold(fields.iter().map(|name| name.parse().unwrap()), Code::new("not_for_reader").unwrap())
            .build()
            .await
            .unwrap()
    }

    fn request(&self, action: &str) -> Request {
        let start = self.clock.now().at;
        let window = Window::new(start, start.saturating_add(Duration::from_secs(3600))).unwrap();
        let scope = Scope::new("database:prod/orders".parse().unwrap(), [Action::new(action).unwrap()]).unwrap();
        let why = Justification::new("restore order 42, INC-7").unwrap();
        Request::builder(person("u-1042"), scope, window, why, RetentionClass::new(CASE_CLASS).unwrap())
            .build()
            .unwrap()
    }

    fn evaluated(&self, request: &Request, purpose: EvaluationPurpose) -> EvaluatedDecision {
        let input = CanonicalInput::of_request(request, purpose, self.clock.now().at, Gathered::default()).unwrap();
        EvaluatedDecision { decision: self.policy.evaluate(&input), input: input.as_value().clone() }
    }

    /// Appends an event to a stream that the log numbers; gives its index.
    pub(crate) async fn govern(&self, stream: StreamId, event: Event) -> u64 {
        let class = RetentionClass::new(GOVERNANCE_CLASS).unwrap();
        let draft = self.log.recorder().draft(stream, event, Refs::default(), class, self.clock.now()).unwrap();
        let appended = self.log.append(AppendRequest::new().draft(draft)).await.unwrap();
        appended.receipt().await.unwrap();
        appended.records()[0].index()
    }
}

/// One case under way.
struct Run<'a> {
    world: &'a World,
    case: Case,
    ledger: Option<Entitlement>,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, id: CaseId) -> Self {
        Self { world, case: Case::new(world.log.origin().clone(), id), ledger: None }
    }

    fn clock(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    async fn go(&mut self, command: Command) {
        let read = self.world.clock.now();
        let scope = self.world.request("read").scope().clone();
        let entitlement = self.world.key.entitlement(&person("u-1042").id(), &scope);
        if self.ledger.is_none() {
            let mut ledger = Entitlement::new(entitlement);
            for record in self.world.log.stream(&ledger.stream()).await.unwrap() {
                ledger.apply(record.record()).unwrap();
            }
            self.ledger = Some(ledger);
        }
        let context = Context {
            now: read.at,
            limits: RequestLimits::default(),
            entitlement,
            still_justified_by: self.ledger.as_ref().unwrap().live_at(read.at).collect(),
        };
        let decided = self.case.decide(&command, &context);
        assert!(!decided.steps.is_empty(), "{command:?}: {:?}", decided.outcome);
        let expected = self.case.expected();
        let recorder = self.world.log.recorder();
        let origin = StepOrigin::internal(RetentionClass::new(CASE_CLASS).unwrap());
        let records = self.case.record(&decided.steps, &origin, &recorder, &read).unwrap();
        let ledger = self.ledger.as_mut().unwrap();
        let mut request = AppendRequest::new();
        let changing = records.iter().find(|r| r.header().kind == Kind::GrantActivated || is_end(&r.header().kind));
        let change = changing.map(|cause| {
            let held = cause.header().kind == Kind::GrantActivated;
            let before = ledger.expected();
            let change = ledger.change(held, &self.case, cause.leaf(), &recorder, &read).unwrap();
            (before, change)
        });
        request = request.records(self.case.stream(), expected, records);
        if let Some((before, change)) = change {
            request = request.records(ledger.stream(), before, vec![change]);
        }
        // Whoever takes a bundle waits for the checkpoint.
        let appended = self.world.log.append(request).await.unwrap();
        assert!(!appended.is_repeated());
    }

    async fn approve(&mut self) {
        let approver = person("lead-7");
        let content = self.case.approval_content(&approver).unwrap();
        self.go(Command::Approve(Approve {
            approver,
            group: group(),
            member_of: BTreeSet::from([group()]),
            content,
            comment: Some(Prose::new("fine, until noon").unwrap()),
            authentication: None,
            signature: None,
            list: None,
        }))
        .await;
    }

    async fn mint(&mut self, request: &Request) {
        let now = self.world.clock.now().at;
        let credential = CredentialId::v7(now, self.world.log.recorder().random().unwrap());
        let capabilities = capabilities();
        let issued = self.case.issuable_window(now, Duration::ZERO, &capabilities).unwrap();
        let resolve_at = now.saturating_add(Duration::from_secs(30));
        self.go(Command::Intend(Intend {
            credential,
            issuer: IssuerName::new("tokens").unwrap(),
            capabilities: capabilities.clone(),
            issued,
            backdate: Duration::ZERO,
            holder_key: None,
            resolve_at,
            evaluated: self.world.evaluated(request, EvaluationPurpose::Issuance),
            parent: ParentState::None,
        }))
        .await;
        let descriptor = CredentialDescriptor {
            id: credential,
            issuer: IssuerName::new("tokens").unwrap(),
            fingerprint: ExternalDigest::from_bytes([3; 32]),
            serial: ExternalId::new("serial-1").unwrap(),
            subject: person("u-1042").id(),
            window: issued,
            capabilities,
        };
        self.go(Command::Issued { credential, descriptor }).await;
    }
}

pub(crate) fn person(subject: &str) -> Principal {
    Principal::human(Identity::new("idp.example", subject).unwrap())
}

fn group() -> GroupName {
    GroupName::new("leads").unwrap()
}

pub(crate) fn engine() -> Engine {
    Engine {
        name: Code::new("table").unwrap(),
        version: Version::new("1.0.0").unwrap(),
        language: Version::new("1").unwrap(),
        adapter: Version::new("1.0.0").unwrap(),
    }
}

fn capabilities() -> IssuerCapabilities {
    IssuerCapabilities {
        class: CrashClass::SelfContained,
        prepares: false,
        can_revoke: false,
        can_confirm: false,
        native_expiry: true,
        idempotent_mint: true,
        cuts_sessions: false,
        leeway_s: 30,
        min_ttl_s: 1,
        max_ttl_s: 7200,
    }
}

pub(crate) fn snapshot(text: &str) -> SnapshotDocument {
    let target = Target {
        engine: Code::new("table").unwrap(),
        language: Version::new("1").unwrap(),
        entrypoint: Code::new("decide").unwrap(),
    };
    let file = (FilePath::new("table.txt").unwrap(), text.as_bytes().to_vec());
    let bundle = PolicyBundle::new(target, None, [file]).unwrap();
    SnapshotDocument::new(bundle, &BTreeSet::from([RuleId::new("oncall").unwrap()])).unwrap()
}

fn retention() -> RetentionPolicy {
    let terms = |class: &str| RetentionTerms {
        class: RetentionClass::new(class).unwrap(),
        min_s: 7 * 365 * 86_400,
        max_s: None,
        basis: "audit rule 7".to_owned().try_into().unwrap(),
        reviewer: "records board".to_owned().try_into().unwrap(),
    };
    RetentionPolicy::new(vec![terms(GOVERNANCE_CLASS), terms(AGENT_CLASS), terms(CASE_CLASS)]).unwrap()
}
