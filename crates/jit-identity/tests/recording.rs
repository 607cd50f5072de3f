//! What verified tokens leave in the evidence, and what refused ones leave: never a token, and of a refused one only a code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod peers;

use std::{sync::Arc, time::Duration};

use jit_broker::Broker;
use jit_core::*;
use jit_log::{KeyName, SignerKey};
use jit_policy::{
    EntityDirectory, FilePath, PolicyBundle, PolicyEngine, Target,
    cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT},
};
use jit_store::{Ed25519Signer, FileAnchor, Log, LogConfig, MemoryBackend, RetentionPolicy};
use jit_testkit::{ManualClock, SeededEntropy};
use peers::{Made, but, id_claims, now, pyjwt, svid_claims, transaction_claims, wanted};
use serde_json::json;

fn class() -> RetentionClass {
    RetentionClass::new("agent").unwrap()
}

struct World {
    broker: Broker,
    clock: Arc<ManualClock>,
    _anchor: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(now()));
        let anchor = tempfile::tempdir().unwrap();
        let terms = |class: &str| RetentionTerms {
            class: RetentionClass::new(class).unwrap(),
            min_s: 86_400,
            max_s: None,
            basis: Line::new("test rule").unwrap(),
            reviewer: Line::new("test board").unwrap(),
        };
        let signer = SignerKey::from_seed(KeyName::parse("jit.example/evidence/test").unwrap(), [3; 32]);
        let config = LogConfig::new(
            Arc::new(Ed25519Signer::new(signer)),
            Arc::new(FileAnchor::new(anchor.path().join("checkpoint"))),
            RetentionPolicy::new(vec![terms("governance"), terms("agent")]).unwrap(),
            IndexKey::from_bytes([5; 32]),
            WriterId::v7(now(), [1; 10]),
            clock.clone(),
        );
        let config = config.entropy(Arc::new(SeededEntropy::new(1)));
        let log = Log::create(Arc::new(MemoryBackend::new()), config).await.unwrap();
        let empty = EntityDirectory::parse(SystemName::new("directory").unwrap(), br#"{"entities":[],"approvers":{}}"#);
        let broker = Broker::builder(log, Arc::new(empty.unwrap())).build();
        broker.publish(policy(), PrincipalId::Identity(Identity::new("idp", "author").unwrap())).await.unwrap();
        Self { broker, clock, _anchor: anchor }
    }

    async fn records(&self) -> Vec<Record> {
        let size = self.broker.log().size().await.unwrap();
        let indexes: Vec<u64> = (0..size).collect();
        self.broker.log().records(&indexes).await.unwrap().iter().map(|r| r.record().clone()).collect()
    }

    /// The codes and counts of everything that was refused.
    async fn refused(&self) -> Vec<(String, u64)> {
        let records = self.records().await;
        let events = records.iter().filter_map(|record| match record.event().ok()? {
            Event::RequestRefused(refused) => {
                assert_eq!(refused.requester, None);
                Some((refused.code.to_string(), refused.count))
            }
            _ => None,
        });
        events.collect()
    }

    async fn refuse(&self, code: Code) {
        self.broker.refuse(None, code, class()).await.unwrap();
    }
}

fn policy() -> Arc<dyn jit_policy::PolicySnapshot> {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let rules = r#"@id("agents") permit(principal is Jit::Agent, action == Jit::Action::"read", resource);"#;
    let files = [
        (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
        (FilePath::new("rules.cedar").unwrap(), rules.as_bytes().to_vec()),
    ];
    engine.load(&PolicyBundle::new(target, Some(schema), files).unwrap()).unwrap()
}

/// Whether a text stands anywhere in the log.
fn stands(records: &[Record], text: &str) -> bool {
    let bytes = |record: &Record| [record.header_bytes(), record.payload_bytes().unwrap_or_default()].concat();
    records.iter().any(|record| String::from_utf8_lossy(&bytes(record)).contains(text))
}

fn agent_of(made: &Made) -> (Principal, Provenance, Vec<VerifiedToken>) {
    let transaction = made.issuer().transaction_token(made.token("transaction"), now()).unwrap();
    let svid = made.svids().verify(made.token("svid"), now()).unwrap();
    let not_here = |reason| MaybeStated::Absent(Absence { kind: AbsenceKind::NotApplicable, reason });
    let statement = AgentStatement {
        identity: transaction.presenter().unwrap(),
        mode: transaction.on_behalf_of().unwrap().unwrap(),
        owner: Stated::by_registry(Identity::new("idp", "owner").unwrap(), SystemName::new("inventory").unwrap()),
        build: Stated::by_requester(AgentBuild {
            version: Version::new("1").unwrap(),
            model: ModelName::new("model-4").unwrap(),
        }),
        initiating_event: Stated::by_requester(InitiatingEvent {
            kind: code!("chat_message"),
            source: SystemName::new("chat").unwrap(),
            id: ExternalId::new("m-1").unwrap(),
            at: now(),
            digest: ExternalDigest::from_bytes([1; 32]),
        }),
        task: Stated::by_requester(ExternalId::new("TASK-1").unwrap()),
        workload: svid.stated(|svid| svid.spiffe_id.clone()),
        instance: not_here(code!("one_instance")),
        tool_call: MaybeStated::Absent(Absence { kind: AbsenceKind::NotEstablished, reason: code!("not_told") }),
    };
    let tokens = vec![transaction.token().clone(), svid.token().clone()];
    let (agent, provenance) = statement.into_agent(tokens.iter().map(|token| token.facts.clone()).collect()).unwrap();
    (agent, provenance, tokens)
}

#[tokio::test]
async fn a_request_records_who_said_what_with_claims_that_can_be_erased_and_no_token() {
    let made = pyjwt(&[
        wanted("transaction", "ES256", "p256", &transaction_claims()).header(json!({ "typ": "txntoken+jwt" })),
        wanted("svid", "ES256", "svid", &svid_claims()),
    ]);
    let (agent, provenance, tokens) = agent_of(&made);
    let end = now().saturating_add(Duration::from_secs(600));
    let request = Request::builder(
        agent,
        Scope::new("database:prod/orders".parse().unwrap(), [Action::new("read").unwrap()]).unwrap(),
        Window::new(now(), end).unwrap(),
        Justification::new("refund of order 42").unwrap(),
        class(),
    );
    let request = request.provenance(provenance.clone()).claims(tokens).build().unwrap();
    let world = World::new().await;
    let key = IdempotencyKey::new("k").unwrap();
    let submitted = world.broker.submit(&key, request.clone()).await.unwrap();
    assert_eq!(submitted.phase, Phase::Approved);
    // The same request again, after the token was renewed.
    assert_eq!(world.broker.submit(&key, request).await.unwrap(), submitted);

    let case = world.broker.case(submitted.case).await.unwrap();
    let recorded = &case.request().unwrap().submitted;
    assert_eq!(recorded.provenance.as_ref(), Some(&provenance));
    assert_eq!(provenance.check(&recorded.requester), Ok(()));
    let by = |aspect| provenance.is_verified(aspect);
    assert!(by(Aspect::Requester) && by(Aspect::Principal) && by(Aspect::Workload) && by(Aspect::Owner));
    assert!(!by(Aspect::Build) && !by(Aspect::Task) && !by(Aspect::InitiatingEvent));
    let claims = recorded.claims.as_ref().unwrap();
    assert_eq!(claims[0].claims.as_str(), transaction_claims().to_string());
    assert_eq!(claims[1].claims.as_str(), svid_claims().to_string());

    let records = world.records().await;
    assert!(stands(&records, "txn-97") && stands(&records, "192.0.2.7"));
    for token in made.tokens.values() {
        for part in token.split('.') {
            assert!(!stands(&records, part));
        }
    }
    let submitted = records.iter().find(|r| r.header().kind == Kind::RequestSubmitted).unwrap();
    let personal = ["claims".parse().unwrap()];
    let erased = submitted.payload().unwrap().without(submitted.header().id, &personal).unwrap();
    let erased = Record::parse(submitted.header_bytes().to_vec(), Some(&erased.to_bytes().unwrap())).unwrap();
    assert!(stands(std::slice::from_ref(&erased), "txn-97") && !stands(std::slice::from_ref(&erased), "192.0.2.7"));
}

#[tokio::test]
async fn a_bad_token_leaves_its_code_once_an_interval_and_nothing_of_itself() {
    let made = pyjwt(&[
        wanted("expired", "ES256", "p256", &but(&id_claims(), &json!({ "exp": peers::at(-60) }))),
        wanted("for another", "ES256", "p256", &but(&id_claims(), &json!({ "aud": "another-broker" }))),
        wanted("stranger", "ES256", "stranger", &id_claims()).header(json!({ "kid": "p256" })),
    ]);
    let world = World::new().await;
    let issuer = made.issuer();
    for _ in 0..5 {
        for token in made.tokens.values() {
            let error = issuer.id_token(token, None, now()).unwrap_err();
            world.refuse(error.code()).await;
        }
    }
    let huge = issuer.id_token(&"A".repeat(1 << 20), None, now()).unwrap_err();
    world.refuse(huge.code()).await;
    let first = |code: &str| (code.to_owned(), 1);
    let expected = ["token_expired", "token_audience", "token_signature", "token_too_large"].map(first);
    assert_eq!(world.refused().await, expected);

    world.clock.advance(Duration::from_secs(61));
    world.refuse(issuer.id_token(made.token("expired"), None, now()).unwrap_err().code()).await;
    assert_eq!(world.refused().await.last().unwrap(), &("token_expired".to_owned(), 5));
    let records = world.records().await;
    assert!(!stands(&records, "u-1042") && !stands(&records, "another-broker"));
}
