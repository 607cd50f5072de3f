//! A policy goes into force on record: reviewed where that is asked for, and never because its text happens to be in the store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::num::NonZeroU16;

use jit_audit::{BundleBuilder, Examination, PolicyHistory, VerifyOptions};
use jit_broker::{Broker, BrokerError, PolicyReviewError, Settings};
use jit_core::*;
use support::*;

const STRICTER: &str = r#"
@id("oncall-db-read")
@jit_approvals("sre:2")
@jit_max_duration("1h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"database:prod");
"#;

async fn reviewed(world: &World, count: u16) -> Broker {
    let required = GroupCount { group: group("sre"), count: NonZeroU16::new(count).unwrap() };
    world.rebuilt(|builder| builder.settings(Settings::default().policy_review(required))).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> PolicyReviewError {
    match result {
        Err(BrokerError::PolicyReview(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_policy_is_in_force_only_after_others_approved_it() {
    let world = World::new().await;
    let broker = reviewed(&world, 2).await;
    let (stricter, author) = (snapshot_of(STRICTER), person("alice"));
    let digest = stricter.document().digest();
    let publish = async || broker.publish(snapshot_of(STRICTER), person("bob").id()).await;

    assert_eq!(refused(publish().await), PolicyReviewError::NotProposed(digest));
    let proposal = broker.propose_policy(&*stricter, author.id()).await.unwrap();
    // Its text is in the store, and still it is not in force anywhere.
    assert!(broker.log().policy(digest).await.unwrap().is_some());
    assert!(matches!(broker.adopt(stricter.clone()).await, Err(BrokerError::NotPublished(_))));

    let approve = async |who: &str| broker.approve_policy(proposal, &person(who)).await;
    assert_eq!(refused(approve("alice").await), PolicyReviewError::Author(author.id()));
    assert!(matches!(refused(approve("mallory").await), PolicyReviewError::NotAMember { .. }));
    let agent = agent_deployment("bot");
    let by_agent = broker.approve_policy(proposal, agent.requester()).await;
    assert!(matches!(refused(by_agent), PolicyReviewError::NotAPerson(_)));
    let nowhere = broker.approve_policy(LeafHash::from_bytes([9; 32]), &person("bob")).await;
    assert!(matches!(refused(nowhere), PolicyReviewError::NoSuchProposal(_)));

    approve("bob").await.unwrap();
    assert_eq!(refused(approve("bob").await), PolicyReviewError::ApprovedAlready(person("bob").id()));
    assert!(matches!(refused(publish().await), PolicyReviewError::NotEnough { have: 1, need: 2, .. }));
    let case = broker.submit(&key("before"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    let before = broker.case(case).await.unwrap();
    assert_eq!(before.decisions()[0].decision.obligations.approvals().unwrap().groups().next().unwrap().1.get(), 1);
}

#[tokio::test]
async fn a_review_counts_once_and_the_history_says_who_when_and_what_it_decided() {
    let world = World::new().await;
    let broker = reviewed(&world, 1).await;
    let (stricter, author) = (snapshot_of(STRICTER), person("dave").id());
    let digest = stricter.document().digest();
    let proposal = broker.propose_policy(&*stricter, author.clone()).await.unwrap();
    broker.approve_policy(proposal, &person("bob")).await.unwrap();
    broker.publish(stricter.clone(), author.clone()).await.unwrap();
    assert_eq!(
        refused(broker.approve_policy(proposal, &person("alice")).await),
        PolicyReviewError::Published(proposal)
    );
    assert_eq!(refused(broker.publish(stricter.clone(), author.clone()).await), PolicyReviewError::NotProposed(digest));
    // A process that starts again takes what was published.
    reviewed(&world, 1).await.adopt(stricter).await.unwrap();

    let submitted = broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap();
    let history = PolicyHistory::of(broker.log()).await.unwrap();
    let all: Vec<_> = history.publications().collect();
    assert_eq!(all.len(), 2);
    assert!(!all[0].1.is_reviewed() && all[0].1.proposal.is_none(), "the first was published without review");
    let (_, published) = all[1];
    assert!(published.is_reviewed());
    assert_eq!(published.proposal.as_ref().map(|p| (p.leaf, p.by.clone())), Some((proposal, author)));
    assert_eq!(published.approvals.iter().map(|a| a.by.clone()).collect::<Vec<_>>(), [person("bob").id()]);
    assert_eq!(history.of_policy(digest).count(), 1);

    let mut decisions = jit_audit::Decisions::new(broker.log(), 0..u64::MAX).of_policy(digest);
    let mut made = Vec::new();
    while let Some(page) = decisions.next_page().await.unwrap() {
        made.extend(page);
    }
    assert_eq!((made.len(), made[0].decision.policy), (1, digest));

    // The bundle of a case proves the review of the policy that decided it.
    broker.withdraw(&key("w"), submitted.case, person("alice").id(), None).await.unwrap();
    let auditor = person("auditor").id();
    let bundle = BundleBuilder::case(broker.log(), submitted.case, auditor).build().await.unwrap();
    let examined = Examination::new(&bundle.to_bytes().unwrap(), Some(broker.log().trust()), &VerifyOptions::default());
    assert!(examined.report().verdict().is_proved(), "{:?}", examined.report().failures());
    let kinds: Vec<&Kind> = examined.records().iter().filter_map(|r| r.place().kind.as_ref()).collect();
    for kind in [Kind::PolicyProposed, Kind::PolicyApproved, Kind::PolicyPublished] {
        assert_eq!(kinds.iter().filter(|k| ***k == kind).count(), 1, "{kind}");
    }
    world.assert_invariants().await;
}

#[tokio::test]
async fn without_a_requirement_a_review_is_named_all_the_same() {
    let world = World::new().await;
    let stricter = snapshot_of(STRICTER);
    let proposal = world.broker.propose_policy(&*stricter, person("alice").id()).await.unwrap();
    let own = world.broker.approve_policy(proposal, &person("alice")).await;
    assert_eq!(refused(own), PolicyReviewError::Author(person("alice").id()));
    world.broker.approve_policy(proposal, &person("mallory")).await.unwrap();
    world.broker.publish(stricter, person("alice").id()).await.unwrap();
    let history = PolicyHistory::of(world.broker.log()).await.unwrap();
    assert!(history.publications().next_back().unwrap().1.is_reviewed());
}

#[tokio::test]
async fn a_dry_run_explains_and_records_nothing() {
    let world = World::new().await;
    let before = world.broker.log().size().await.unwrap();
    let fine = world.broker.dry_run(&request("alice", "database:prod/orders", "read")).await.unwrap();
    assert!(fine.is_requestable() && fine.suggestions.is_empty());

    let stranger = world.broker.dry_run(&request("mallory", "database:prod/orders", "read")).await.unwrap();
    assert!(!stranger.is_requestable());
    let nearest: Vec<&str> = stranger.nearest().iter().map(|rule| rule.rule.as_str()).collect();
    assert_eq!(nearest, ["oncall-db-read"]);
    let text = stranger.to_string();
    assert!(text.contains(r#"principal in Jit::Group::"oncall""#), "{text}");
    assert!(text.contains("would be permitted: be in group oncall"), "{text}");
    let long = request_within("alice", "database:prod/orders", "read", window(std::time::Duration::ZERO, HOUR * 5));
    let long = world.broker.dry_run(&long.build().unwrap()).await.unwrap();
    assert!(long.too_long && long.to_string().contains("ask for no longer than 14400 s"), "{long}");
    assert_eq!(world.broker.log().size().await.unwrap(), before);
}

/// A directory that never answers.
struct Silent(SystemName);

#[async_trait::async_trait]
impl jit_policy::FactSource for Silent {
    fn name(&self) -> &SystemName {
        &self.0
    }

    async fn resolve(&self, _: jit_policy::FactQuery<'_>) -> Result<jit_policy::Gathered, jit_policy::FactError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_in_time_makes_the_decision_indeterminate_on_record() {
    let world = World::new().await;
    let silent = std::sync::Arc::new(Silent(SystemName::new("ldap").unwrap()));
    let broker = world.rebuilt(|builder| builder.facts(silent)).await;
    let submitted = broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap();
    assert_eq!(submitted.phase, Phase::Denied);
    let records = broker.log().stream(&StreamId::Case(submitted.case)).await.unwrap();
    let Event::PolicyEvaluated(evaluated) = records[1].record().event().unwrap() else { panic!() };
    assert_eq!(evaluated.decision.outcome, Outcome::Indeterminate);
    let input = jit_policy::CanonicalInput::from_value(&evaluated.input.unwrap()).unwrap();
    let named: Vec<String> = input.parts().unavailable.iter().map(|u| format!("{} {}", u.source, u.code)).collect();
    assert_eq!(named, ["ldap timed_out"]);
}
