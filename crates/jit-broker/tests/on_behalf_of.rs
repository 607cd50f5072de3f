//! An agent acts with the authority of the person it acts for: as it is when it asks, and again when it is issued; and only if
//! somebody else than the agent says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use jit_broker::{Broker, BrokerError};
use jit_core::*;
use jit_policy::{EntityDirectory, FactError, FactQuery, FactSource, Gathered, ProvenanceFacts};
use support::*;

/// Who is on call deploys through an agent, if a token says that they are the ones it acts for, and that it is for that.
const AGENT_RULES: &str = r#"
@id("agents-deploy-for-oncall")
@jit_approvals("sre:1")
@jit_max_duration("1h")
permit(principal is Jit::Agent, action == Jit::Action::"deploy", resource)
when {
  context has on_behalf_of && context.on_behalf_of in Jit::Group::"oncall"
  && context.facts.verified.contains("principal") && context.facts.token_scopes.contains("deploy")
  && context.facts.hops == 0
};
"#;

/// A directory that changes.
struct Directory(RwLock<EntityDirectory>, SystemName);

impl Directory {
    fn new(document: &str) -> Self {
        let name = SystemName::new("directory").unwrap();
        Self(RwLock::new(EntityDirectory::parse(name.clone(), document.as_bytes()).unwrap()), name)
    }

    fn becomes(&self, document: &str) {
        *self.0.write().unwrap() = EntityDirectory::parse(self.1.clone(), document.as_bytes()).unwrap();
    }
}

#[async_trait]
impl FactSource for Directory {
    fn name(&self) -> &SystemName {
        &self.1
    }

    async fn resolve(&self, query: FactQuery<'_>) -> Result<Gathered, FactError> {
        let now = self.0.read().unwrap().clone();
        now.resolve(query).await
    }
}

fn rules() -> Arc<dyn jit_policy::PolicySnapshot> {
    let context = "on_behalf_of?: Identity,";
    assert!(SCHEMA.contains(context));
    let facts = "facts: { verified: Set<String>, token_kinds: Set<String>, token_scopes: Set<String>, hops: Long },";
    snapshot_with_schema(&SCHEMA.replace(context, &format!("{context} {facts}")), AGENT_RULES)
}

fn digest() -> ExternalDigest {
    ExternalDigest::from_bytes([8; 32])
}

/// The facts of a transaction token in which Dave acts through the bot, and through these before it.
fn token(through: &[PrincipalId]) -> TokenFacts {
    let bot = PrincipalId::Identity(Identity::new("agents", "bot").unwrap());
    TokenFacts {
        kind: code!("transaction_token"),
        issuer: Issuer::new("https://tokens.example").unwrap(),
        digest: digest(),
        id: None,
        algorithm: code!("es256"),
        key: ExternalId::new("k-1").ok(),
        subject: person("dave").id(),
        actors: std::iter::once(bot).chain(through.iter().rev().cloned()).collect(),
        issued: Some(start()),
        expires: start().saturating_add(HOUR),
        transaction: Some(TransactionFacts {
            txn: ExternalId::new("txn-97").unwrap(),
            scope: Line::new("orders.read deploy").unwrap(),
            workload: None,
        }),
    }
}

/// The request of the bot, and who says for whom it acts.
fn asked(by: AssertedBy) -> Request {
    asked_through(by, &[])
}

fn asked_through(by: AssertedBy, through: &[PrincipalId]) -> Request {
    let plain = agent_deployment("bot");
    let Principal::Agent(agent) = plain.requester() else { panic!() };
    let delegation = Delegation::new(person("dave").id(), through.to_vec()).unwrap();
    let own = |reason: Code| Absence { kind: AbsenceKind::NotApplicable, reason };
    let statement = AgentStatement {
        identity: Stated { value: agent.identity().clone(), by: by.clone() },
        mode: Stated { value: AgentMode::OnBehalfOf(delegation), by },
        owner: Stated::by_requester(agent.owner().clone()),
        build: Stated::by_requester(AgentBuild { version: agent.version().clone(), model: agent.model().clone() }),
        initiating_event: Stated::by_requester(agent.initiating_event().clone()),
        task: Stated::by_requester(agent.task().clone()),
        workload: Stated::by_requester(agent.workload().clone()),
        instance: MaybeStated::Absent(own(code!("one_instance"))),
        tool_call: MaybeStated::Absent(own(code!("no_tool"))),
    };
    let (agent, provenance) = statement.into_agent(vec![token(through)]).unwrap();
    let why = plain.justification().unwrap().clone();
    Request::builder(agent, plain.scope().clone(), *plain.window(), why, plain.retain().clone())
        .provenance(provenance)
        .build()
        .unwrap()
}

async fn world() -> (World, Broker, Arc<Directory>) {
    let mut world = World::new().await;
    let directory = Arc::new(Directory::new(DIRECTORY));
    let provenance = ProvenanceFacts::new(SystemName::new("provenance").unwrap());
    let broker = world.without_facts().facts(directory.clone()).facts(Arc::new(provenance)).build();
    broker.publish(rules(), person("policy-owner").id()).await.unwrap();
    world.broker = broker.clone();
    (world, broker, directory)
}

#[tokio::test]
async fn what_only_the_agent_says_gives_it_nobodys_authority() {
    let (_world, broker, _) = world().await;
    let verified = broker.submit(&key("verified"), asked(AssertedBy::Token(digest()))).await.unwrap();
    assert_eq!(verified.phase, Phase::AwaitingApprovals);
    let helper = PrincipalId::Identity(Identity::new("agents", "helper").unwrap());
    let through = asked_through(AssertedBy::Token(digest()), &[helper]);
    assert_eq!(broker.submit(&key("through"), through).await.unwrap().phase, Phase::Denied);
    let said = broker.submit(&key("said"), asked(AssertedBy::Requester)).await.unwrap();
    assert_eq!(said.phase, Phase::Denied);
    let unsaid = broker.submit(&key("unsaid"), agent_deployment("bot")).await.unwrap();
    assert_eq!(unsaid.phase, Phase::Denied);
}

#[tokio::test]
async fn a_person_who_lost_the_authority_meanwhile_gives_the_agent_none() {
    let (world, broker, directory) = world().await;
    let request = asked(AssertedBy::Token(digest()));
    let case = broker.submit(&key("k"), request.clone()).await.unwrap().case;
    world.approve(case, "bob", "sre").await.unwrap();
    let agent = request.requester().id();

    let without_dave = DIRECTORY.replace(r#""id":"idp|dave""#, r#""id":"idp|david""#);
    assert_ne!(without_dave, DIRECTORY);
    directory.becomes(&without_dave);
    let refused = broker.issue(&key("issue"), case, &agent, world.issuer_name()).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::NoLongerPermitted, .. })), "{refused:?}");
    assert!(world.effects.all().is_empty());
    assert!(world.kinds(case).await.contains(&"approval.voided".to_owned()));
}

#[tokio::test]
async fn a_repetition_may_come_with_a_newer_token() {
    let (world, broker, _) = world().await;
    let first = broker.submit(&key("k"), asked(AssertedBy::Token(digest()))).await.unwrap();
    let size = broker.log().size().await.unwrap();
    let again = broker.submit(&key("k"), asked(AssertedBy::Requester)).await.unwrap();
    assert_eq!((again.case, broker.log().size().await.unwrap()), (first.case, size));
    let issued = {
        world.approve(first.case, "bob", "sre").await.unwrap();
        broker
            .issue(&key("issue"), first.case, &asked(AssertedBy::Requester).requester().id(), world.issuer_name())
            .await
    };
    assert_eq!(issued.unwrap().descriptor.subject, *agent_deployment("bot").recipient());
}
