//! Ends that others cause, and credentials that stand for what another grant has too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use world::{World, decision, person, quorum, retain, scope, window, word};

use jit_core::*;

/// A case with an approved grant of Alice's for ten minutes.
fn approved(world: &mut World) -> usize {
    let case = world.open_case();
    let why = Justification::new("INC-7").unwrap();
    let wanted = scope("database:prod", &["read"]);
    let request = Request::builder(person("alice"), wanted, window(0, 600), why, retain()).build();
    world.act(case, &Command::Submit(request.unwrap())).unwrap();
    world.act(case, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
    case
}

/// A case with a request of Alice's that nobody has approved, and that no policy has decided on unless `evaluated`.
fn waiting(world: &mut World, evaluated: bool) -> usize {
    let case = world.open_case();
    let why = Justification::new("INC-7").unwrap();
    let wanted = scope("database:prod", &["read"]);
    let request = Request::builder(person("alice"), wanted, window(0, 600), why, retain()).build();
    world.act(case, &Command::Submit(request.unwrap())).unwrap();
    if evaluated {
        world.act(case, &Command::Evaluate(decision(Outcome::Permit, [quorum(&[("sre", 1)])]))).unwrap();
    }
    case
}

/// A case with an active grant of Alice's, whose credential is a membership if `shared`.
fn active(world: &mut World, shared: bool) -> (usize, CredentialId) {
    let case = approved(world);
    let credential = CredentialId::v8([u8::try_from(case).unwrap(); 16]);
    let mut intend = world.intent(case, credential, decision(Outcome::Permit, []));
    if shared {
        intend.capabilities.class = CrashClass::RemoteShared;
        intend.capabilities.native_expiry = false;
    }
    world.act(case, &Command::Intend(intend)).unwrap();
    let descriptor = world.descriptor(case, credential);
    world.act(case, &Command::Issued { credential, descriptor }).unwrap();
    (case, credential)
}

fn end(world: &World, case: usize) -> CaseEnd {
    world.cases[case].grant().unwrap().end.clone().unwrap()
}

#[test]
fn each_cause_gives_its_kind_of_end_and_stands_in_its_record() {
    let root = || person("root").id();
    let leaf = LeafHash::from_bytes([4; 32]);
    let other = GrantId::v8([5; 16]);
    for (by, kind, cause, actor) in [
        (EndBy::Holder(person("alice").id()), Kind::GrantTerminated, None, Some(person("alice").id())),
        (EndBy::Other(root()), Kind::GrantRevoked, None, Some(root())),
        (EndBy::Parent(leaf), Kind::GrantRevoked, Some(leaf), None),
        (EndBy::Bulk { by: root(), act: leaf }, Kind::GrantRevoked, Some(leaf), Some(root())),
        (EndBy::Grant { by: root(), grant: other, approved: leaf }, Kind::GrantSuperseded, Some(leaf), Some(root())),
        (EndBy::Bar { by: root(), bar: leaf }, Kind::GrantEligibilityWithdrawn, Some(leaf), Some(root())),
        (EndBy::Target { finding: word("gone") }, Kind::GrantExternallyModified, None, None),
    ] {
        let mut world = World::new();
        let (case, credential) = active(&mut world, false);
        world.advance(60);
        let command = Command::End { by, cause: word("told"), reason: None };
        world.act(case, &command).unwrap();
        let found = end(&world, case);
        assert_eq!((found.cause, found.kind.clone()), (cause, kind));
        assert_eq!((found.ending.actor, found.ending.cause.as_str()), (actor, "told"));
        assert_eq!((found.ending.planned_end, found.ending.requested_end), (world::at(600), world::at(60)));
        assert_eq!(found.ending.residual.credentials[0].credential, credential);
        assert_eq!(world.act(case, &command), Err(Refusal::Phase(Phase::Ended)), "{:?}", found.kind);
        assert_eq!(world.findings(world.now()), []);
    }
}

#[test]
fn what_ends_grants_with_others_denies_what_is_not_granted_yet() {
    let root = || person("root").id();
    let leaf = LeafHash::from_bytes([4; 32]);
    for by in [EndBy::Bulk { by: root(), act: leaf }, EndBy::Bar { by: root(), bar: leaf }, EndBy::Parent(leaf)] {
        for evaluated in [false, true] {
            let mut world = World::new();
            let case = waiting(&mut world, evaluated);
            let command = Command::End { by: by.clone(), cause: word("told"), reason: None };
            world.act(case, &command).unwrap();
            let last = world.records.last().unwrap();
            assert_eq!((last.header().kind.clone(), last.header().refs.cause), (Kind::GrantDenied, Some(leaf)));
            let known = &world.cases[case];
            assert_eq!((known.phase(), known.denied_because()), (Phase::Denied, Some(leaf)));
            assert_eq!(known.due_command(world.now()), Some(Command::Close));
            assert_eq!(world.act(case, &command), Err(Refusal::Phase(Phase::Denied)), "once");
            assert_eq!(world.findings(world.now()), []);
        }
    }
    // Whoever names one grant means a grant.
    for by in [EndBy::Holder(person("alice").id()), EndBy::Other(root()), EndBy::Target { finding: word("gone") }] {
        let mut world = World::new();
        let case = waiting(&mut world, true);
        let refused = world.act(case, &Command::End { by, cause: word("told"), reason: None });
        assert_eq!(refused, Err(Refusal::Phase(Phase::AwaitingApprovals)));
    }
}

#[test]
fn a_grant_cannot_take_its_own_place() {
    let mut world = World::new();
    let (case, _) = active(&mut world, false);
    let (grant, approved) = (world.cases[case].grant_id(), LeafHash::from_bytes([4; 32]));
    let by = EndBy::Grant { by: person("root").id(), grant, approved };
    let refused = world.act(case, &Command::End { by, cause: word("told"), reason: None });
    assert_eq!(refused, Err(Refusal::NotAnotherGrant(grant)));
    assert_eq!(world.records.last().unwrap().header().kind, Kind::CommandRefused);
}

/// Two grants on one membership, the first of which has ended.
fn overlap() -> (World, CredentialId, GrantId) {
    let mut world = World::new();
    let (first, credential) = active(&mut world, true);
    let (second, _) = active(&mut world, true);
    let by = EndBy::Other(person("root").id());
    world.act(first, &Command::End { by, cause: word("told"), reason: None }).unwrap();
    let heir = world.cases[second].grant_id();
    (world, credential, heir)
}

#[test]
fn a_membership_goes_on_under_another_grant_and_settles_the_case() {
    let (mut world, credential, heir) = overlap();
    assert_eq!(end(&world, 0).ending.still_justified_by, [heir]);
    assert_eq!(end(&world, 0).ending.residual.credentials[0].why, word("still_justified"));
    world.act(0, &Command::HandOver { credential, to: heir }).unwrap();
    let scheduled = project(world.records.last().unwrap());
    let stream = world.cases[0].stream();
    assert!(scheduled.done.contains(&DueId { stream, task: DueTask::Unsettled(credential) }));
    assert_eq!(world.cases[0].due_command(world.now()), Some(Command::Close));
    world.act(0, &Command::Close).unwrap();
    assert_eq!(world.findings(world.now()), []);
}

#[test]
fn nothing_is_left_to_oneself_nor_what_is_not_shared_nor_by_a_live_grant() {
    let (mut world, credential, heir) = overlap();
    let own = world.cases[0].grant_id();
    let refused = Err(Refusal::Credential(credential));
    assert_eq!(world.act(0, &Command::HandOver { credential, to: own }), refused);
    let lives = *world.cases[1].credentials().keys().next().unwrap();
    assert_eq!(world.act(1, &Command::HandOver { credential: lives, to: own }), Err(Refusal::Credential(lives)));
    let (third, unshared) = active(&mut world, false);
    let by = EndBy::Other(person("root").id());
    world.act(third, &Command::End { by, cause: word("told"), reason: None }).unwrap();
    let refused = world.act(third, &Command::HandOver { credential: unshared, to: heir });
    assert_eq!(refused, Err(Refusal::Credential(unshared)));
}

#[test]
fn a_grant_that_does_not_justify_the_access_inherits_nothing() {
    for ended in [false, true] {
        let (mut world, credential, heir) = overlap();
        if ended {
            let by = EndBy::Other(person("root").id());
            world.act(1, &Command::End { by, cause: word("told"), reason: None }).unwrap();
        }
        let to = if ended { heir } else { GrantId::v8([9; 16]) };
        world.act(0, &Command::HandOver { credential, to }).unwrap();
        let findings = world.findings(world.now());
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(findings[0].is_violated() && findings[0].invariant == InvariantId::Inv21, "{findings:#?}");
    }
}

#[test]
fn what_is_open_is_listed_and_leaves_the_list_when_it_is_settled() {
    let mut world = World::new();
    let (case, credential) = active(&mut world, true);
    let stream = world.cases[case].stream();
    let listed = |world: &World| {
        let id = DueId { stream, task: DueTask::Unsettled(credential) };
        world.records.iter().map(project).fold(false, |listed, p| {
            (listed && !p.done.contains(&id)) || p.due.iter().any(|(due, at)| *due == id && *at == UNSETTLED)
        })
    };
    assert!(!listed(&world));
    let by = EndBy::Other(person("root").id());
    world.act(case, &Command::End { by, cause: word("told"), reason: None }).unwrap();
    assert!(listed(&world));
    let intend = Command::IntendRevocation { credential, cause: word("grant_ended"), resolve_at: world.now() };
    world.act(case, &intend).unwrap();
    let outcome = RevocationOutcome::Irrevocable { cause: word("refused"), until: None };
    world.act(case, &Command::Revocation { credential, outcome }).unwrap();
    assert!(listed(&world));
    assert_eq!(world.act(case, &intend), Err(Refusal::Credential(credential)), "nothing follows unasked");
    let demand = Command::DemandRevocation { credential, by: person("root").id(), reason: None };
    world.act(case, &demand).unwrap();
    assert_eq!(world.act(case, &demand), Err(Refusal::Credential(credential)));
    world.act(case, &intend).unwrap();
    let outcome = RevocationOutcome::Confirmed { finding: word("gone") };
    world.act(case, &Command::Revocation { credential, outcome }).unwrap();
    assert!(!listed(&world));
    assert_eq!(world.findings(world::at(1_000_000)), []);
}

#[test]
fn a_session_may_outlive_the_credential_that_opened_it() {
    for cuts_sessions in [false, true] {
        let mut world = World::new();
        let case = approved(&mut world);
        let credential = CredentialId::v8([1; 16]);
        let mut intend = world.intent(case, credential, decision(Outcome::Permit, []));
        intend.issued = window(0, 60);
        intend.capabilities.cuts_sessions = cuts_sessions;
        world.act(case, &Command::Intend(intend)).unwrap();
        let descriptor = world.descriptor(case, credential);
        world.act(case, &Command::Issued { credential, descriptor }).unwrap();
        world.advance(70);
        world.act(case, &Command::CredentialExpired { credential }).unwrap();
        let by = EndBy::Other(person("root").id());
        world.act(case, &Command::End { by, cause: word("told"), reason: None }).unwrap();
        let residual = end(&world, case).ending.residual;
        assert_eq!((residual.credentials.len(), residual.sessions), (0, !cuts_sessions));
        assert_eq!(world.findings(world.now()), []);
    }
}

#[test]
fn a_window_computed_before_the_decision_is_allowed_for_a_minute_and_never_beyond_what_was_approved() {
    for (seconds, issued, fits) in [
        (120, window(120, 600), true),
        (180, window(120, 600), true),
        (181, window(120, 600), false),
        (120, window(120, 601), false),
        (120, window(59, 600), false),
        (30, window(0, 600), true),
    ] {
        let mut world = World::new();
        let case = approved(&mut world);
        world.advance(seconds);
        let mut intend = world.intent(case, CredentialId::v8([1; 16]), decision(Outcome::Permit, []));
        intend.issued = issued;
        let expected = if fits { Ok(()) } else { Err(Refusal::BeyondApproved) };
        assert_eq!(world.act(case, &Command::Intend(intend)), expected, "{seconds} {issued:?}");
    }
}
