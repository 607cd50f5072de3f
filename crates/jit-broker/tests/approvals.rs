//! Who approves, as directory and policy say; what exactly, as they were shown and signed; in what order, and until when.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey};
use jit_broker::{ApprovalAct, ApproverKeys, Broker, BrokerError, ListApproval, Listed, Settings};
use jit_core::*;
use jit_policy::FactError;
use support::*;

const MINUTE: Duration = Duration::from_secs(60);

fn refusal(answer: Result<Phase, BrokerError>) -> Refusal {
    match answer {
        Err(BrokerError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A broker with these settings, under these rules.
async fn under(world: &mut World, rules: &str, settings: Settings) {
    world.broker = world.rebuilt(|builder| builder.settings(settings)).await;
    world.broker.publish(snapshot_of(rules), person("policy-owner").id()).await.unwrap();
}

async fn act(broker: &Broker, case: CaseId, who: &str, for_group: &str) -> ApprovalAct {
    let approver = person(who);
    let content = broker.approval_content(case, &approver).await.unwrap().unwrap();
    let group = group(for_group);
    ApprovalAct { approver, group, content, comment: None, authentication: None, signature: None }
}

async fn submitted(world: &World, k: &str, action: &str) -> CaseId {
    let submitted = world.broker.submit(&key(k), request("alice", "database:prod/orders", action)).await.unwrap();
    assert_eq!(submitted.phase, Phase::AwaitingApprovals);
    submitted.case
}

#[tokio::test]
async fn the_policy_decides_who_may_approve_and_its_answer_is_on_record() {
    let mut world = World::new().await;
    let rules = format!(
        "{RULES}
@id(\"sre-approves\")
permit(principal is Jit::Human, action == Jit::Action::\"approve\", resource in Jit::Resource::\"database:prod\")
when {{ context.judging has group && context.judging.group == \"sre\" && context.judging.actions.contains(\"read\") }};"
    );
    under(&mut world, &rules, Settings::default().judged_by_policy()).await;
    let case = submitted(&world, "k", "read").await;
    assert_eq!(world.approve(case, "bob", "sre").await.unwrap(), Phase::Approved);
    let read = world.broker.case(case).await.unwrap();
    let approval = read.approvals()[0].approval.clone();
    let decision = read.decisions().iter().find(|d| Some(d.leaf) == approval.eligibility).unwrap();
    assert_eq!(decision.purpose, EvaluationPurpose::Approval);
    assert_eq!(decision.decision.permitting_rule().unwrap().as_str(), "sre-approves");

    // Bob is in both groups; for dba, and for writing, no rule lets him.
    let case = submitted(&world, "k2", "write").await;
    let refused = refusal(world.approve(case, "bob", "sre").await);
    assert_eq!(refused, Refusal::NotEligible(person("bob").id()));
    let kinds = world.kinds(case).await;
    assert!(kinds.ends_with(&["policy.evaluated".to_owned(), "command.refused".to_owned()]), "{kinds:?}");
    // Whom the directory does not know is refused without asking.
    let refused = refusal(world.approve(case, "mallory", "sre").await);
    assert!(matches!(refused, Refusal::NotAMember { .. }), "{refused:?}");
    assert_eq!(world.kinds(case).await.len(), kinds.len() + 1);
    world.assert_invariants().await;
}

#[tokio::test]
async fn an_owner_approves_its_agents_request_only_by_a_rule_that_says_so() {
    let agents = RULES.replace("@id(\"agents\")", "@id(\"agents\")\n@jit_approvals(\"sre:1\")");
    let plain = format!("{agents}\n@id(\"anybody\") permit(principal, action == Jit::Action::\"approve\", resource);");
    let owners = format!(
        "{plain}\n@id(\"owners\")\n@jit_owner_may_approve(\"true\")
permit(principal, action == Jit::Action::\"approve\", resource) when {{ context.judging.owner }};"
    );
    for (rules, settings, may) in [
        (agents, Settings::default(), false),
        (plain, Settings::default().judged_by_policy(), false),
        (owners, Settings::default().judged_by_policy(), true),
    ] {
        let mut world = World::new().await;
        under(&mut world, &rules, settings).await;
        let case = world.broker.submit(&key("k"), agent_deployment("robot")).await.unwrap().case;
        // Alice owns the agent and is an SRE; Dave, for whom it acts, is none.
        let answer = world.approve(case, "alice", "sre").await;
        if may {
            assert_eq!(answer.unwrap(), Phase::Approved);
        } else {
            assert_eq!(refusal(answer), Refusal::Interested(person("alice").id()));
            assert_eq!(world.approve(case, "bob", "sre").await.unwrap(), Phase::Approved);
        }
        world.assert_invariants().await;
    }
}

struct BobsKey(SigningKey);

#[async_trait]
impl ApproverKeys for BobsKey {
    async fn keys_of(&self, approver: &PrincipalId) -> Result<Vec<[u8; 32]>, FactError> {
        let bobs = *approver == person("bob").id();
        Ok(bobs.then(|| self.0.verifying_key().to_bytes()).into_iter().collect())
    }
}

fn sign(key: &SigningKey, message: &[u8]) -> ApprovalSignature {
    ApprovalSignature::ed25519(&key.verifying_key().to_bytes(), &key.sign(message).to_bytes()).unwrap()
}

#[tokio::test]
async fn an_approval_is_signed_by_a_key_that_is_known_as_the_approvers() {
    let (bobs, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let mut world = World::new().await;
    let keys = Arc::new(BobsKey(bobs.clone()));
    world.broker =
        world.rebuilt(|builder| builder.approver_keys(keys).settings(Settings::default().approvals_signed())).await;
    let case = submitted(&world, "k", "write").await;
    let unsigned = act(&world.broker, case, "bob", "sre").await;
    let content = unsigned.content.to_bytes().unwrap();
    let opaque = ApprovalSignature { scheme: code!("webauthn"), ..sign(&bobs, &content) };
    for (k, signature, expected) in [
        ("unsigned", None, Refusal::SignatureMissing),
        ("nobody can verify it here", Some(opaque), Refusal::SignatureMissing),
        ("a key that is not his", Some(sign(&other, &content)), Refusal::Signature),
        ("his key, over something else", Some(sign(&bobs, b"something else")), Refusal::Signature),
    ] {
        let act = ApprovalAct { signature, ..unsigned.clone() };
        assert_eq!(refusal(world.broker.approve(&key(k), case, act).await), expected, "{k}");
    }
    let signed = ApprovalAct { signature: Some(sign(&bobs, &content)), ..unsigned };
    world.broker.approve(&key("signed"), case, signed).await.unwrap();
    // Carol has no key here.
    let carols = act(&world.broker, case, "carol", "dba").await;
    let signature = Some(sign(&bobs, &carols.content.to_bytes().unwrap()));
    let forged = ApprovalAct { signature, ..carols };
    assert_eq!(refusal(world.broker.approve(&key("carol"), case, forged).await), Refusal::Signature);
    let kinds = world.kinds(case).await;
    assert_eq!(kinds.iter().filter(|k| *k == "command.refused").count(), 5, "{kinds:?}");
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_list_is_approved_in_one_act_and_recorded_one_by_one() {
    let bobs = SigningKey::from_bytes(&[1; 32]);
    let mut world = World::new().await;
    let keys = Arc::new(BobsKey(bobs.clone()));
    world.broker = world.rebuilt(|builder| builder.approver_keys(keys)).await;
    let mut shown = Vec::new();
    for k in ["1", "2", "3"] {
        let case = submitted(&world, k, "read").await;
        let content = world.broker.approval_content(case, &person("bob")).await.unwrap().unwrap();
        shown.push(Listed { case, group: group("sre"), content });
    }
    // The second was decided before Bob pressed the button.
    world.broker.withdraw(&key("w"), shown[1].case, person("alice").id(), None).await.unwrap();
    let list = ApprovalList::of(shown.iter().map(|l| &l.content)).unwrap();
    let act = ListApproval {
        approver: person("bob"),
        shown: shown.clone(),
        comment: Prose::new("the maintenance of tonight").ok(),
        authentication: None,
        signature: Some(sign(&bobs, &list.to_bytes().unwrap())),
    };
    let answers = world.broker.approve_list(&key("list"), act.clone()).await.unwrap();
    let phases: Vec<Option<Phase>> = answers.iter().map(|(_, answer)| answer.as_ref().ok().copied()).collect();
    assert_eq!(phases, [Some(Phase::Approved), None, Some(Phase::Approved)]);
    for case in [shown[0].case, shown[2].case] {
        let approval = &world.broker.case(case).await.unwrap().approvals()[0].approval.clone();
        assert_eq!(approval.list.as_ref(), Some(&list));
    }
    // Again under the same key: answered, and nothing is written.
    let size = world.broker.log().size().await.unwrap();
    let again = world.broker.approve_list(&key("list"), act).await.unwrap();
    assert!(again[0].1.is_ok() && again[1].1.is_err(), "{again:?}");
    assert_eq!(world.broker.log().size().await.unwrap(), size);
    let empty = ListApproval {
        approver: person("bob"),
        shown: Vec::new(),
        comment: None,
        authentication: None,
        signature: None,
    };
    assert!(world.broker.approve_list(&key("empty"), empty).await.is_err());
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_sweep_asks_the_next_group_and_lapses_what_nobody_answers() {
    let mut world = World::new().await;
    let asked = "@jit_approvals(\"sre:1 then dba after 10m\")\n@jit_approval_deadline(\"30m\")";
    let rules = RULES.replacen("@jit_approvals(\"sre:1\")", asked, 1);
    // What is rescheduled can be claimed again at once.
    under(&mut world, &rules, Settings::default().lease(Duration::ZERO)).await;
    let answered = submitted(&world, "1", "read").await;
    let silent = submitted(&world, "2", "read").await;
    let at_once = submitted(&world, "3", "read").await;
    world.approve(at_once, "bob", "sre").await.unwrap();
    assert_eq!(refusal(world.approve(answered, "carol", "dba").await), Refusal::GroupNotAsked(group("dba")));

    world.clock.advance(10 * MINUTE);
    world.broker.sweep().await.unwrap();
    for case in [answered, silent] {
        let kinds = world.kinds(case).await;
        assert_eq!(kinds.iter().filter(|k| *k == "approval.escalated").count(), 1, "{kinds:?}");
    }
    assert!(!world.kinds(at_once).await.contains(&"approval.escalated".to_owned()));
    let late = act(&world.broker, answered, "carol", "dba").await;
    assert_eq!(world.broker.approve(&key("carol-later"), answered, late).await.unwrap(), Phase::Approved);

    world.clock.advance(20 * MINUTE);
    world.broker.sweep().await.unwrap();
    assert_eq!(world.broker.case(silent).await.unwrap().phase(), Phase::Lapsed);
    assert_eq!(world.broker.case(answered).await.unwrap().phase(), Phase::Approved);
    world.assert_invariants().await;
}

#[tokio::test]
async fn the_last_approval_is_given_under_the_policy_of_today() {
    let world = World::new().await;
    let case = submitted(&world, "k", "write").await;
    world.approve(case, "bob", "sre").await.unwrap();
    let stricter = snapshot_of(&RULES.replace("sre:1,dba:1", "sre:1,dba:2"));
    world.broker.publish(stricter, person("policy-owner").id()).await.unwrap();
    let acted = act(&world.broker, case, "carol", "dba").await;
    let answer = world.broker.approve(&key("carol"), case, acted.clone()).await;
    assert_eq!(refusal(answer), Refusal::NoLongerPermitted);
    let read = world.broker.case(case).await.unwrap();
    assert_eq!(read.phase(), Phase::Denied);
    let purposes: Vec<EvaluationPurpose> = read.decisions().iter().map(|d| d.purpose).collect();
    assert_eq!(purposes, [EvaluationPurpose::Request, EvaluationPurpose::Confirmation]);
    let again = world.broker.approve(&key("carol"), case, acted).await;
    assert!(matches!(again, Err(BrokerError::RefusedBefore { .. })), "{again:?}");
    world.assert_invariants().await;
}

#[tokio::test]
async fn an_approver_leaves_less_and_less_is_issued() {
    let world = World::new().await;
    let case = submitted(&world, "k", "write").await;
    world.approve(case, "bob", "sre").await.unwrap();
    let (less, shorter) = (scope("database:prod/orders", "write"), window(Duration::ZERO, HOUR / 4));
    let narrow =
        async |k: &str| world.broker.narrow(&key(k), case, person("carol"), group("dba"), less.clone(), shorter).await;
    narrow("1").await.unwrap();
    assert_eq!(narrow("1").await.unwrap(), Phase::AwaitingApprovals);
    assert_eq!(refusal(narrow("2").await), Refusal::NotNarrower);
    let bob = act(&world.broker, case, "bob", "sre").await;
    world.broker.approve(&key("bob again"), case, bob).await.unwrap();
    assert_eq!(world.approve(case, "carol", "dba").await.unwrap(), Phase::Approved);
    let issued = world.issue(case, &person("alice").id()).await.unwrap();
    assert_eq!(issued.descriptor.window, shorter);
    world.clock.advance(HOUR / 4);
    world.broker.sweep().await.unwrap();
    assert!(world.broker.case(case).await.unwrap().is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn an_approval_taken_back_does_not_count() {
    let world = World::new().await;
    let case = submitted(&world, "k", "write").await;
    world.approve(case, "bob", "sre").await.unwrap();
    let back = async |k: &str| world.broker.withdraw_approval(&key(k), case, person("bob").id(), None).await;
    back("1").await.unwrap();
    assert_eq!(refusal(back("2").await), Refusal::NoApproval(person("bob").id()));
    assert_eq!(world.approve(case, "carol", "dba").await.unwrap(), Phase::AwaitingApprovals);
    let bob = act(&world.broker, case, "bob", "sre").await;
    assert_eq!(world.broker.approve(&key("bob again"), case, bob).await.unwrap(), Phase::Approved);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_justification_that_lacks_something_is_refused_or_denied_with_its_code() {
    let mut world = World::new().await;
    let limits = RequestLimits {
        justification: JustificationDemand::default().ticket("CHG-#".parse().unwrap()),
        ..RequestLimits::default()
    };
    let rules = RULES.replace("@id(\"oncall-db-read\")", "@id(\"oncall-db-read\")\n@jit_justification(\"min 200\")");
    under(&mut world, &rules, Settings::default().limits(limits)).await;
    let ask = async |k: &str, why: &str| {
        let why = Justification::new(why).unwrap();
        let scope = scope("database:prod/orders", "read");
        let asked = Request::builder(person("alice"), scope, window(Duration::ZERO, HOUR), why, class("access"));
        world.broker.submit(&key(k), asked.build().unwrap()).await
    };
    let refused = ask("1", "restore order 42").await;
    let Err(BrokerError::Refused { case, refusal: Refusal::Request(error) }) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code().as_str(), "ticket_missing");
    assert_eq!(world.kinds(case).await, ["request.refused", "case.closed"]);
    let denied = ask("2", "restore order 42, CHG-7").await.unwrap();
    assert_eq!(denied.phase, Phase::Denied);
    let records = world.broker.log().stream(&StreamId::Case(denied.case)).await.unwrap();
    let cause = records.iter().find_map(|r| match r.record().event() {
        Ok(Event::GrantDenied(e)) => Some(e.cause),
        _ => None,
    });
    assert_eq!(cause.unwrap().as_str(), "justification_too_short");
    world.assert_invariants().await;
}
