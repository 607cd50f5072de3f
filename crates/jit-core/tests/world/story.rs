//! A good history in which everything happens that an invariant speaks of.

use std::{sync::LazyLock, time::Duration};

use jit_core::*;

use super::{World, agent, at, at_most, break_glass, decision, person, quorum, retain, scope, window, word};

/// Alice's access, approved by two people, revoked early.
pub const REVOKED: usize = 0;
/// Alice's second access to the same, approved by a rule, which expires.
pub const EXPIRED: usize = 1;
/// An agent's access derived from the first, ended with it.
pub const DERIVED: usize = 2;
/// Dave's emergency, with a deferred justification.
pub const EMERGENCY: usize = 3;
/// An access that the policy no longer permits when it is to be issued.
pub const WITHDRAWN: usize = 4;
/// A request on which the evaluation fails.
pub const FAILED: usize = 5;
/// Dave's access derived from Alice's second one, made longer by two people, with a fresh credential.
pub const EXTENDED: usize = 6;
/// How many cases there are.
const CASES: usize = 7;

/// The story, told once.
pub static STORY: LazyLock<World> = LazyLock::new(story);

/// The stream of one of its cases.
pub fn stream(case: usize) -> StreamId {
    STORY.cases[case].stream()
}

/// What is found wrong or not provable when these records are the whole log, at the end of the story.
pub fn check_whole(records: &[Record]) -> Vec<Finding> {
    super::findings(records, STORY.now())
}

/// All that is found is that this invariant is violated.
pub fn violated_alone(records: &[Record], id: InvariantId) {
    let findings = check_whole(records);
    assert!(!findings.is_empty() && findings.iter().all(|f| f.is_violated() && f.invariant == id), "{findings:#?}");
}

fn request(who: &Principal, to: u64) -> RequestBuilder {
    let wanted = scope("database:prod/orders", &["read"]);
    Request::builder(who.clone(), wanted, window(0, to), Justification::new("INC-7").unwrap(), retain())
}

fn credential(n: u8) -> CredentialId {
    CredentialId::v8([n; 16])
}

/// The whole story, up to a day after its end.
pub fn story() -> World {
    let mut world = World::new();
    let (alice, dave) = (person("alice"), person("dave"));
    (0..CASES).for_each(|case| assert_eq!(world.open_case(), case));
    let by_two = [quorum(&[("sre", 1), ("dba", 1)]), at_most(7200)];

    world.act(REVOKED, &Command::Submit(request(&alice, 3600).build().unwrap())).unwrap();
    world.act(REVOKED, &Command::Evaluate(decision(Outcome::Permit, by_two.clone()))).unwrap();
    assert!(world.act(REVOKED, &world.approve(REVOKED, &alice, "sre")).is_err());
    world.act(REVOKED, &world.approve(REVOKED, &person("bob"), "sre")).unwrap();
    world.act(REVOKED, &world.approve(REVOKED, &person("carol"), "dba")).unwrap();
    issue(&mut world, REVOKED, credential(1), decision(Outcome::Permit, by_two));

    world.act(EXPIRED, &Command::Submit(request(&alice, 3600).build().unwrap())).unwrap();
    world.act(EXPIRED, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
    issue(&mut world, EXPIRED, credential(2), decision(Outcome::Permit, []));

    let robot = agent("robot", AgentMode::OnBehalfOf(Delegation::new(alice.id(), vec![]).unwrap()));
    let derived = request(&robot, 1800).parent(world.parent(REVOKED).unwrap()).build().unwrap();
    world.act(DERIVED, &Command::Submit(derived)).unwrap();
    world.act(DERIVED, &Command::Evaluate(decision(Outcome::Permit, [quorum(&[("sre", 1)])]))).unwrap();
    world.act(DERIVED, &world.approve(DERIVED, &person("bob"), "sre")).unwrap();
    issue(&mut world, DERIVED, credential(3), decision(Outcome::Permit, [quorum(&[("sre", 1)])]));

    let derived = request(&dave, 1800).parent(world.parent(EXPIRED).unwrap()).build().unwrap();
    world.act(EXTENDED, &Command::Submit(derived)).unwrap();
    let by_one = [quorum(&[("sre", 1)]), at_most(7200)];
    world.act(EXTENDED, &Command::Evaluate(decision(Outcome::Permit, by_one.clone()))).unwrap();
    world.act(EXTENDED, &world.approve(EXTENDED, &person("bob"), "sre")).unwrap();
    issue(&mut world, EXTENDED, credential(7), decision(Outcome::Permit, by_one));
    extend(&mut world, &dave);

    world.advance(100);
    let by = EndBy::Other(person("zoe").id());
    world.act(REVOKED, &Command::End { by, cause: word("suspicious"), reason: None }).unwrap();
    let by = EndBy::Parent(world.cases[REVOKED].grant().unwrap().end.as_ref().unwrap().leaf);
    world.act(DERIVED, &Command::End { by, cause: word("parent_ended"), reason: None }).unwrap();
    let retry_at = world.now().saturating_add(Duration::from_secs(10));
    let failed = RevocationOutcome::Failed { cause: word("unreachable"), retry_at };
    revoke(&mut world, REVOKED, credential(1), failed);
    revoke(&mut world, REVOKED, credential(1), RevocationOutcome::Confirmed { finding: word("gone") });
    let unknown = RevocationOutcome::Unknown { cause: word("timed_out"), reconcile_at: retry_at };
    revoke(&mut world, DERIVED, credential(3), unknown);
    let found =
        Command::RevocationReconciled { credential: credential(3), dead: true, finding: word("gone"), retry_at: None };
    world.act(DERIVED, &found).unwrap();

    let wanted = scope("host:prod/db-1", &["ssh"]);
    let emergency = Request::break_glass(dave.clone(), wanted, window(100, 700), break_glass(), retain());
    world.act(EMERGENCY, &Command::Submit(emergency.build().unwrap())).unwrap();
    world.act(EMERGENCY, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
    let unknown = Command::MintUnknown { credential: credential(4), cause: word("timed_out"), reconcile_at: retry_at };
    intend(&mut world, EMERGENCY, credential(4), decision(Outcome::Permit, []));
    world.act(EMERGENCY, &unknown).unwrap();
    let found = Command::MintReconciled { credential: credential(4), existing: None, finding: word("never_existed") };
    world.act(EMERGENCY, &found).unwrap();
    issue(&mut world, EMERGENCY, credential(5), decision(Outcome::Permit, []));

    world.act(WITHDRAWN, &Command::Submit(request(&dave, 600).build().unwrap())).unwrap();
    world.act(WITHDRAWN, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
    let stricter = decision(Outcome::Permit, [quorum(&[("sre", 1)])]);
    let intent = Command::Intend(world.intent(WITHDRAWN, credential(6), stricter));
    assert_eq!(world.act(WITHDRAWN, &intent), Err(Refusal::NoLongerPermitted));

    world.act(FAILED, &Command::Submit(request(&dave, 600).build().unwrap())).unwrap();
    world.act(FAILED, &Command::Evaluate(decision(Outcome::Indeterminate, []))).unwrap();

    world.advance(4000);
    let obligations: Vec<(ObligationId, Code)> =
        world.cases[EMERGENCY].obligations().iter().map(|(id, o)| (*id, o.task.clone())).collect();
    (0..CASES).for_each(|case| due(&mut world, case));
    for (obligation, task) in obligations {
        let by = if task == word("review") { person("zoe") } else { dave.clone() };
        let text = Prose::new("the database was down").ok();
        world.act(EMERGENCY, &Command::CloseObligation { obligation, by, finding: word("done"), text }).unwrap();
    }
    (0..CASES).for_each(|case| due(&mut world, case));
    assert!(world.cases.iter().all(Case::is_closed));
    world.advance(86_400);
    world
}

/// A longer window, for which the policy asks two people, and then no more time.
fn extend(world: &mut World, dave: &Principal) {
    let by_two = decision(Outcome::Permit, [quorum(&[("sre", 1), ("dba", 1)]), at_most(7200)]);
    world.act(EXTENDED, &world.extend(EXTENDED, dave, at(3000))).unwrap();
    world.act(EXTENDED, &Command::EvaluateExtension(by_two.clone())).unwrap();
    // The same person may approve again: what is asked is another thing.
    world.act(EXTENDED, &world.approve(EXTENDED, &person("bob"), "sre")).unwrap();
    world.act(EXTENDED, &world.approve(EXTENDED, &person("carol"), "dba")).unwrap();
    let mut renewal = world.intent(EXTENDED, credential(8), by_two);
    renewal.parent = ParentState::Active;
    world.act(EXTENDED, &Command::Renew(renewal)).unwrap();
    let descriptor = world.descriptor(EXTENDED, credential(8));
    assert_eq!(descriptor.window.end(), at(3000));
    world.act(EXTENDED, &Command::Issued { credential: credential(8), descriptor }).unwrap();
    revoke(world, EXTENDED, credential(7), RevocationOutcome::Confirmed { finding: word("gone") });
    world.act(EXTENDED, &world.extend(EXTENDED, dave, at(3500))).unwrap();
    world.act(EXTENDED, &Command::EvaluateExtension(decision(Outcome::Deny, []))).unwrap();
}

fn intend(world: &mut World, case: usize, id: CredentialId, evaluated: EvaluatedDecision) {
    let mut intent = world.intent(case, id, evaluated);
    if world.cases[case].request().unwrap().submitted.parent.is_some() {
        intent.parent = ParentState::Active;
    }
    world.act(case, &Command::Intend(intent)).unwrap();
}

fn issue(world: &mut World, case: usize, id: CredentialId, evaluated: EvaluatedDecision) {
    intend(world, case, id, evaluated);
    let descriptor = world.descriptor(case, id);
    world.act(case, &Command::Prepared { credential: id, descriptor: descriptor.clone() }).unwrap();
    world.act(case, &Command::Issued { credential: id, descriptor }).unwrap();
}

fn revoke(world: &mut World, case: usize, credential: CredentialId, outcome: RevocationOutcome) {
    let resolve_at = world.now().saturating_add(Duration::from_secs(10));
    world.act(case, &Command::IntendRevocation { credential, cause: word("grant_ended"), resolve_at }).unwrap();
    world.act(case, &Command::Revocation { credential, outcome }).unwrap();
}

fn due(world: &mut World, case: usize) {
    while let Some(command) = world.cases[case].due_command(world.now()) {
        world.act(case, &command).unwrap();
    }
}
