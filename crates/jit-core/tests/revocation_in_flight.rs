//! A credential whose end comes while somebody takes it back: the attempt gets its outcome first, and no work is left over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use jit_core::*;
use world::{World, at, decision, person, retain, scope, window, word};

/// A case whose grant and credential are over, with an attempt to revoke that has no outcome.
fn in_flight() -> (World, CredentialId) {
    let mut world = World::new();
    let case = world.open_case();
    let why = Justification::new("INC-7").unwrap();
    let request =
        Request::builder(person("alice"), scope("database:prod", &["read"]), window(0, 600), why, retain()).build();
    world.act(case, &Command::Submit(request.unwrap())).unwrap();
    world.act(case, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
    let credential = CredentialId::v8([1; 16]);
    let intend = world.intent(case, credential, decision(Outcome::Permit, []));
    world.act(case, &Command::Intend(intend)).unwrap();
    let descriptor = world.descriptor(case, credential);
    world.act(case, &Command::Issued { credential, descriptor }).unwrap();
    let revoke = Command::IntendRevocation { credential, cause: word("suspicious"), resolve_at: at(700) };
    world.act(case, &revoke).unwrap();
    world.advance(1000);
    world.act(case, &Command::Expire).unwrap();
    (world, credential)
}

#[test]
fn an_expiry_waits_for_the_outcome_of_an_attempt() {
    let (mut world, credential) = in_flight();
    let expired = Command::CredentialExpired { credential };
    assert_eq!(world.act(0, &expired), Err(Refusal::Unresolved(credential)));
    assert_eq!(world.cases[0].due_command(world.now()), None);

    let unknown = RevocationOutcome::Unknown { cause: word("timed_out"), reconcile_at: at(1100) };
    world.act(0, &Command::Revocation { credential, outcome: unknown }).unwrap();
    assert_eq!(world.act(0, &expired), Err(Refusal::Unresolved(credential)));
    assert_eq!(world.act(0, &Command::Close), Err(Refusal::NotSettled));

    let alive = |retry_at| Command::RevocationReconciled { credential, dead: false, finding: word("seen"), retry_at };
    world.act(0, &alive(None)).unwrap();
    assert_eq!(world.cases[0].due_command(world.now()), Some(expired.clone()));
    world.act(0, &expired).unwrap();
    world.act(0, &Command::Close).unwrap();
    assert_eq!(world.findings(at(1_000_000)), []);
}

#[test]
fn a_credential_found_alive_keeps_its_expiry_due() {
    let (world, credential) = in_flight();
    let stream = world.cases[0].stream();
    let expiry = DueId { stream, task: DueTask::CredentialExpiry(credential) };
    let after = |dead: bool| {
        let (mut world, _) = in_flight();
        let unknown = RevocationOutcome::Unknown { cause: word("timed_out"), reconcile_at: at(1100) };
        world.act(0, &Command::Revocation { credential, outcome: unknown }).unwrap();
        let found = Command::RevocationReconciled { credential, dead, finding: word("seen"), retry_at: None };
        world.act(0, &found).unwrap();
        project(world.records.last().unwrap())
    };
    assert!(!after(false).done.contains(&expiry));
    assert!(after(true).done.contains(&expiry));
}
