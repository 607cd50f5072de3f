//! A broker over the memory store, with a Cedar policy, a directory and issuers, on a clock and randomness that repeat.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries, which may panic"
)]

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use jit_broker::{ApprovalAct, Broker, BrokerBuilder, Settings, UnsettledState};
use jit_core::*;
use jit_issuer::{
    CredentialIssuer,
    jwt::{JwtIssuer, KeySchedule},
    key::LocalKey,
};
use jit_log::{KeyName, SignerKey};
use jit_policy::{
    EntityDirectory, FilePath, PolicyBundle, PolicyEngine, PolicySnapshot, Target,
    cedar::{CedarEngine, ENTRYPOINT},
};
use jit_store::{Backend, Ed25519Signer, FileAnchor, Log, LogConfig, MemoryBackend, RetentionPolicy};
use jit_testkit::{EffectCounter, FailingBackend, ManualClock, SeededEntropy};

pub const SCHEMA: &str = jit_policy::cedar::BASE_SCHEMA;

pub const RULES: &str = r#"
@id("oncall-db-read")
@jit_approvals("sre:1")
@jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"database:prod");

@id("two-groups")
@jit_approvals("sre:1,dba:1")
@jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"write", resource in Jit::Resource::"database:prod");

@id("deployers")
@jit_max_duration("1h")
permit(principal in Jit::Group::"deployers", action == Jit::Action::"deploy", resource);

@id("agents")
@jit_max_duration("1h")
permit(principal is Jit::Agent, action == Jit::Action::"deploy", resource);

@id("emergency")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"admin", resource) when { context.break_glass };

@id("never-payroll")
forbid(principal, action, resource in Jit::Resource::"database:prod/payroll");
"#;

pub const DIRECTORY: &str = r#"{
  "entities": [
    {"uid":{"type":"human","id":"idp|alice"},"attrs":{},"parents":[{"type":"group","id":"oncall"}]},
    {"uid":{"type":"human","id":"idp|dave"},"attrs":{},"parents":[{"type":"group","id":"oncall"}]},
    {"uid":{"type":"workload","id":"spiffe://example.org/ci/deployer"},"attrs":{},"parents":[{"type":"group","id":"deployers"}]},
    {"uid":{"type":"group","id":"oncall"},"attrs":{},"parents":[]},
    {"uid":{"type":"group","id":"deployers"},"attrs":{},"parents":[]}
  ],
  "approvers": {
    "sre": [{"identity":{"issuer":"idp","subject":"bob"}},{"identity":{"issuer":"idp","subject":"alice"}}],
    "dba": [{"identity":{"issuer":"idp","subject":"carol"}},{"identity":{"issuer":"idp","subject":"bob"}}]
  }
}"#;

pub fn start() -> Timestamp {
    "2026-11-23T09:00:00.000000Z".parse().unwrap()
}

pub fn person(name: &str) -> Principal {
    Principal::human(Identity::new("idp", name).unwrap())
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub fn class(name: &str) -> RetentionClass {
    RetentionClass::new(name).unwrap()
}

pub fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub fn scope(resource: &str, action: &str) -> Scope {
    Scope::new(resource.parse().unwrap(), [Action::new(action).unwrap()]).unwrap()
}

pub fn window(from: Duration, length: Duration) -> Window {
    let begin = start().saturating_add(from);
    Window::new(begin, begin.saturating_add(length)).unwrap()
}

pub const HOUR: Duration = Duration::from_secs(3600);

/// A request of a person for the coming hour.
pub fn request(name: &str, resource: &str, action: &str) -> Request {
    request_within(name, resource, action, window(Duration::ZERO, HOUR)).build().unwrap()
}

pub fn request_within(name: &str, resource: &str, action: &str, window: Window) -> RequestBuilder {
    let why = Justification::new("restore order 42, INC-7").unwrap();
    Request::builder(person(name), scope(resource, action), window, why, class("access"))
}

pub fn deployment() -> Request {
    let deployer = Principal::Workload { spiffe_id: "spiffe://example.org/ci/deployer".parse().unwrap() };
    let why = Justification::new("release 1.4.2").unwrap();
    let scope = scope("cluster:prod/web", "deploy");
    Request::builder(deployer, scope, window(Duration::ZERO, HOUR), why, class("access")).build().unwrap()
}

/// A deployment by an agent that Alice owns, on behalf of Dave.
pub fn agent_deployment(name: &str) -> Request {
    let event = InitiatingEvent {
        kind: code!("chat_message"),
        source: SystemName::new("chat").unwrap(),
        id: ExternalId::new("m-1").unwrap(),
        at: start(),
        digest: ExternalDigest::from_bytes([1; 32]),
    };
    let build = AgentBuild { version: Version::new("1").unwrap(), model: ModelName::new("model").unwrap() };
    let agent = Agent::new(
        Identity::new("agents", name).unwrap(),
        Identity::new("idp", "alice").unwrap(),
        build,
        AgentMode::OnBehalfOf(Delegation::new(person("dave").id(), vec![]).unwrap()),
        event,
        ExternalId::new("TASK-1").unwrap(),
        format!("spiffe://example.org/agent/{name}").parse().unwrap(),
    );
    let why = Justification::new("release 1.4.2").unwrap();
    let scope = scope("cluster:prod/web", "deploy");
    let agent = Principal::Agent(Box::new(agent.unwrap()));
    Request::builder(agent, scope, window(Duration::ZERO, HOUR), why, class("access")).build().unwrap()
}

pub fn emergency() -> Request {
    let seconds = |s| Seconds::new(NonZeroU32::new(s).unwrap());
    let emergency = BreakGlass {
        severity: Severity::Critical,
        emergency: code!("database_down"),
        review_within: seconds(86_400),
        justify_within: seconds(3_600),
    };
    let scope = scope("database:prod/orders", "admin");
    Request::break_glass(person("alice"), scope, window(Duration::ZERO, HOUR), emergency, class("access"))
        .build()
        .unwrap()
}

pub fn snapshot() -> Arc<dyn PolicySnapshot> {
    static RULES_LOADED: OnceLock<Arc<dyn PolicySnapshot>> = OnceLock::new();
    RULES_LOADED.get_or_init(|| snapshot_of(RULES)).clone()
}

pub fn snapshot_of(rules: &str) -> Arc<dyn PolicySnapshot> {
    snapshot_with_schema(SCHEMA, rules)
}

pub fn snapshot_with_schema(schema_text: &str, rules: &str) -> Arc<dyn PolicySnapshot> {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let files = [
        (schema.clone(), schema_text.as_bytes().to_vec()),
        (FilePath::new("rules.cedar").unwrap(), rules.as_bytes().to_vec()),
    ];
    engine.load(&PolicyBundle::new(target, Some(schema), files).unwrap()).unwrap()
}

pub fn retention() -> RetentionPolicy {
    let terms = |class: &str| RetentionTerms {
        class: RetentionClass::new(class).unwrap(),
        min_s: 86_400,
        max_s: None,
        basis: Line::new("test rule").unwrap(),
        reviewer: Line::new("test board").unwrap(),
    };
    RetentionPolicy::new(vec![terms("governance"), terms("agent"), terms("access")]).unwrap()
}

/// Everything around a broker.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub backend: Arc<FailingBackend>,
    pub effects: Arc<EffectCounter>,
    pub broker: Broker,
    pub anchor: tempfile::TempDir,
    entropy: Arc<SeededEntropy>,
    issuer: Arc<dyn CredentialIssuer>,
}

pub fn index_key() -> IndexKey {
    IndexKey::from_bytes([5; 32])
}

pub fn jwt() -> Arc<dyn CredentialIssuer> {
    let name = IssuerName::new("orders-api").unwrap();
    let iss = Issuer::new("https://access.example.org").unwrap();
    let audience = ExternalId::new("https://orders.example.org").unwrap();
    let keys = KeySchedule::new(Arc::new(LocalKey::from_ed25519_seed([7; 32]))).unwrap();
    Arc::new(JwtIssuer::new(name, iss, audience, keys).with_leeway_s(0))
}

impl World {
    pub async fn new() -> Self {
        Self::with_issuer(jwt()).await
    }

    pub async fn with_issuer(issuer: Arc<dyn CredentialIssuer>) -> Self {
        Self::over(issuer, Arc::new(MemoryBackend::new())).await
    }

    pub async fn over(issuer: Arc<dyn CredentialIssuer>, backend: Arc<dyn Backend>) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let anchor = tempfile::tempdir().unwrap();
        let backend = Arc::new(FailingBackend::new(backend));
        let config = config(clock.clone(), &entropy, anchor.path());
        let log = Log::create(backend.clone(), config).await.unwrap();
        let effects = Arc::new(EffectCounter::new(issuer.clone()));
        let broker = broker(log, effects.clone());
        broker.publish(snapshot(), person("policy-owner").id()).await.unwrap();
        Self { clock, backend, effects, broker, anchor, entropy, issuer }
    }

    /// Another process on the same log: nothing is carried over but what the store holds.
    pub async fn restarted(&self) -> Broker {
        let log = Log::open(self.backend.clone(), config(self.clock.clone(), &self.entropy, self.anchor.path()))
            .await
            .unwrap();
        let broker = broker(log, self.effects.clone());
        broker.adopt(snapshot()).await.unwrap();
        broker
    }

    /// Another process on the same log, with another clock.
    pub async fn on_clock(&self, clock: Arc<dyn Clock>) -> Broker {
        let log = Log::open(self.backend.clone(), config(clock, &self.entropy, self.anchor.path())).await.unwrap();
        let broker = broker(log, self.effects.clone());
        broker.adopt(snapshot()).await.unwrap();
        broker
    }

    /// The same broker, built with something more.
    pub async fn rebuilt(&self, with: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Broker {
        let broker = with(builder(self.broker.log().clone(), self.effects.clone())).build();
        broker.adopt(snapshot()).await.unwrap();
        broker
    }

    /// A broker on the same log that has the issuer and no source of facts.
    pub fn without_facts(&self) -> BrokerBuilder {
        let directory = EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap();
        Broker::builder(self.broker.log().clone(), Arc::new(directory)).issuer(self.effects.clone())
    }

    pub fn issuer_name(&self) -> &IssuerName {
        self.issuer.name()
    }

    /// Submits a request that needs one SRE, and has Bob approve it.
    pub async fn approved(&self, key_text: &str, request: Request) -> CaseId {
        let case = self.broker.submit(&key(key_text), request).await.unwrap().case;
        let phase = self.approve(case, "bob", "sre").await.unwrap();
        assert_eq!(phase, Phase::Approved);
        case
    }

    pub async fn approve(&self, case: CaseId, who: &str, for_group: &str) -> Result<Phase, jit_broker::BrokerError> {
        let approver = person(who);
        let content = self.broker.case(case).await?.approval_content(&approver);
        let content = content.unwrap_or_else(|| panic!("{case} awaits no approval"));
        let act = ApprovalAct {
            approver,
            group: group(for_group),
            content,
            comment: Some(Prose::new("seen INC-7").unwrap()),
            authentication: None,
            signature: None,
        };
        self.broker.approve(&key(&format!("approve-{who}-{for_group}")), case, act).await
    }

    pub async fn issue(&self, case: CaseId, by: &PrincipalId) -> Result<jit_broker::Issued, jit_broker::BrokerError> {
        self.broker.issue(&key("issue"), case, by, self.issuer_name()).await
    }

    pub async fn kinds(&self, case: CaseId) -> Vec<String> {
        let records = self.broker.log().stream(&StreamId::Case(case)).await.unwrap();
        records.iter().map(|r| r.record().header().kind.to_string()).collect()
    }

    /// An approved grant of somebody's with its credential issued.
    pub async fn active(&self, key_text: &str, name: &str, resource: &str) -> (CaseId, CredentialId) {
        let case = self.approved(key_text, request(name, resource, "read")).await;
        let issued = self.issue(case, &person(name).id()).await.unwrap();
        (case, issued.descriptor.id)
    }

    pub async fn end(&self, case: CaseId) -> CaseEnd {
        let case = self.broker.case(case).await.unwrap();
        case.grant().and_then(|g| g.end.clone()).unwrap_or_else(|| panic!("{} has not ended", case.id()))
    }

    /// What is unsettled, by case and state.
    pub async fn unsettled(&self) -> Vec<(CaseId, UnsettledState)> {
        let page = self.broker.unsettled(None, 100).await.unwrap();
        page.found.iter().map(|u| (u.case, u.state)).collect()
    }

    /// No invariant is violated by anything in the log.
    pub async fn assert_invariants(&self) {
        assert_invariants(self.broker.log(), self.clock.now().at).await;
    }
}

pub async fn assert_invariants(log: &Log, as_of: Timestamp) {
    let size = log.size().await.unwrap();
    let indexes: Vec<u64> = (0..size).collect();
    let records = log.records(&indexes).await.unwrap();
    let signed = log.publish().await.unwrap();
    let mut snapshots = Vec::new();
    for policy in records.iter().filter_map(|r| r.record().header().refs.policy) {
        snapshots.extend(log.policy(policy).await.unwrap().map(|_| policy));
    }
    let history = History::whole(records.iter().map(|r| (r.index(), r.record())))
        .with_snapshots(snapshots)
        .with_checkpoint(signed.checkpoint().size(), signed.checkpoint().root());
    let findings = check(&history, as_of);
    assert!(findings.is_empty(), "{findings:#?}");
}

fn config(clock: Arc<dyn Clock>, entropy: &Arc<SeededEntropy>, anchor: &std::path::Path) -> LogConfig {
    let name = KeyName::parse("jit.example/evidence/test").unwrap();
    let signer = Arc::new(Ed25519Signer::new(SignerKey::from_seed(name, [3; 32])));
    let anchor = Arc::new(FileAnchor::new(anchor.join("checkpoint")));
    let mut writer = [0; 10];
    entropy.fill(&mut writer).unwrap();
    let writer = WriterId::v7(start(), writer);
    LogConfig::new(signer, anchor, retention(), index_key(), writer, clock).entropy(entropy.clone())
}

fn broker(log: Log, issuer: Arc<EffectCounter>) -> Broker {
    builder(log, issuer).build()
}

fn builder(log: Log, issuer: Arc<EffectCounter>) -> BrokerBuilder {
    let directory = EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap();
    let directory = Arc::new(directory);
    Broker::builder(log, directory.clone())
        .facts(directory)
        .issuer(issuer)
        .settings(Settings::default().mint_timeout(Duration::from_secs(5)))
}
