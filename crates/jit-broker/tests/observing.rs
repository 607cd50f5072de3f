//! What targets say of the use of access is joined to its case, recorded once, and held against what was granted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jit_audit::usage;
use jit_broker::{BrokerError, RecordedUse};
use jit_core::*;
use jit_issuer::{
    CredentialIssuer, CredentialReason, MintAuthorization, MintError, MintPlan, Minting, ObserveError, Observed,
    ObservedUse, PlanRefused, ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome, UseBinding,
};
use support::{HOUR, World, key, person, request, request_within, start, window};

const MINUTE: Duration = Duration::from_secs(60);

/// A line of the log of `orders-api`, number `line`, about this credential.
fn used(credential: CredentialId, at: Timestamp, line: u8) -> ObservedUse {
    ObservedUse {
        binding: UseBinding::Credential(credential),
        event: AccessObserved {
            system: SystemName::new("orders-api").unwrap(),
            occurred_at: at,
            act: code!("request"),
            detail: Some(Prose::new("GET /orders/42 from 192.0.2.7").unwrap()),
            by: None,
            line: Some(ExternalDigest::from_bytes([line; 32])),
        },
    }
}

fn in_use() -> Timestamp {
    start().saturating_add(MINUTE)
}

async fn observe(world: &World, used: &ObservedUse) -> RecordedUse {
    world.broker.observe(used).await.unwrap().expect("a use that records explain")
}

async fn count(world: &World, case: CaseId) -> usize {
    world.kinds(case).await.iter().filter(|kind| *kind == "access.observed").count()
}

async fn reason(world: &World, case: CaseId, credential: CredentialId) -> CredentialReason {
    let case = world.broker.case(case).await.unwrap();
    let known = &case.credentials()[&credential];
    let decision = case.decisions().iter().find(|d| Some(d.leaf) == known.decision).unwrap();
    CredentialReason { grant: case.grant_id(), decision: decision.id, evidence: known.intended_leaf }
}

#[tokio::test]
async fn a_line_is_recorded_once_in_the_case_that_it_is_about() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let (other, _) = world.active("b", "dave", "database:prod/orders").await;
    world.clock.advance(MINUTE);
    let line = used(credential, in_use(), 1);
    let first = observe(&world, &line).await;
    assert_eq!(first, RecordedUse { case, credential, findings: vec![], repeated: false });
    assert!(observe(&world, &line).await.repeated);
    // Other brokers read the same log, at the same time.
    let restarted = world.restarted().await;
    assert!(restarted.observe(&line).await.unwrap().unwrap().repeated);
    let another = used(credential, in_use(), 2);
    let both = tokio::join!(world.broker.observe(&another), restarted.observe(&another));
    let repeated = [both.0.unwrap().unwrap().repeated, both.1.unwrap().unwrap().repeated];
    assert_eq!(repeated.iter().filter(|repeated| **repeated).count(), 1, "recorded twice, or not at all");
    assert_eq!((count(&world, case).await, count(&world, other).await), (2, 0));

    let records = world.broker.log().stream(&StreamId::Case(case)).await.unwrap();
    let record = records.iter().find(|r| r.record().header().kind == Kind::AccessObserved).unwrap().record();
    let known = world.broker.case(case).await.unwrap();
    let refs = &record.header().refs;
    assert_eq!((refs.grant, refs.credential), (Some(known.grant_id()), Some(credential)));
    assert_eq!(refs.cause, Some(known.credentials()[&credential].intended_leaf));
    assert_eq!(record.event().unwrap(), Event::AccessObserved(line.event));
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_use_without_a_line_is_told_from_others_by_what_it_says() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let mut without = used(credential, in_use(), 1);
    without.event.line = None;
    assert!(!observe(&world, &without).await.repeated);
    assert!(observe(&world, &without).await.repeated);
    without.event.act = code!("another");
    assert!(!observe(&world, &without).await.repeated);
    assert_eq!(count(&world, case).await, 2);
}

#[tokio::test]
async fn what_no_record_explains_is_recorded_nowhere() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let (other, others) = world.active("b", "dave", "database:prod/orders").await;
    let (own, foreign) = (reason(&world, case, credential).await, reason(&world, other, others).await);
    let size = world.broker.log().size().await.unwrap();
    let by_reason = |reason| ObservedUse { binding: UseBinding::Reason(reason), ..used(credential, in_use(), 1) };
    let nobodys = [
        used(CredentialId::v8([9; 16]), in_use(), 1),
        by_reason(CredentialReason { grant: GrantId::v8([9; 16]), ..own }),
        // Parts of two credentials are the reason of none.
        by_reason(CredentialReason { evidence: foreign.evidence, ..own }),
        by_reason(CredentialReason { grant: foreign.grant, ..own }),
        by_reason(CredentialReason { decision: foreign.decision, ..own }),
    ];
    for used in nobodys {
        assert_eq!(world.broker.observe(&used).await.unwrap(), None, "{used:?}");
    }
    assert_eq!(world.broker.log().size().await.unwrap(), size, "something was recorded");
    let explained = observe(&world, &by_reason(own)).await;
    assert_eq!((explained.case, explained.credential), (case, credential));
}

#[tokio::test]
async fn what_is_wrong_with_a_use_is_recorded_and_found() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let at = |minutes: u32| start().saturating_add(MINUTE * minutes);
    let by = |used: ObservedUse, by: &str| {
        let event = AccessObserved { by: Some(person(by).id()), ..used.event };
        ObservedUse { event, ..used }
    };
    let before = used(credential, start().saturating_sub(MINUTE), 1);
    assert_eq!(observe(&world, &before).await.findings, [UseFinding::BeforeWindow]);
    assert_eq!(observe(&world, &by(used(credential, at(1), 2), "alice")).await.findings, []);
    assert_eq!(observe(&world, &by(used(credential, at(2), 3), "mallory")).await.findings, [UseFinding::OtherSubject]);
    assert_eq!(observe(&world, &used(credential, at(60), 4)).await.findings, [UseFinding::AfterWindow]);

    world.clock.advance(MINUTE * 10);
    let by_alice = person("alice").id();
    world.broker.terminate(&key("enough"), case, by_alice.clone(), None).await.unwrap();
    assert_eq!(observe(&world, &used(credential, at(9), 5)).await.findings, []);
    assert_eq!(observe(&world, &used(credential, at(11), 6)).await.findings, [UseFinding::AfterEnd]);

    let all = usage(world.broker.log(), &Lookup::new(LookupFamily::Subject, &by_alice)).await.unwrap();
    let [found] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((found.case, found.is_unused(), &found.recipient), (case, false, &by_alice));
    let findings: Vec<_> = found.findings().flat_map(|used| used.findings.clone()).collect();
    use UseFinding::{AfterEnd, AfterWindow, BeforeWindow, OtherSubject};
    // The use after the window was one after the end as well, once that was on record.
    assert_eq!(findings, [BeforeWindow, OtherSubject, AfterWindow, AfterEnd, AfterEnd]);
    assert_eq!(found.other_subjects().into_iter().collect::<Vec<_>>(), [&person("mallory").id()]);
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_grant_that_nobody_used_is_told_from_one_that_nobody_was_given() {
    let world = World::new().await;
    let (unused, _) = world.active("a", "alice", "database:prod/orders").await;
    let (inuse, credential) = world.active("b", "dave", "database:prod/orders").await;
    let claimed_by_nobody = world.approved("c", request("alice", "database:prod/users", "read")).await;
    assert!(!observe(&world, &used(credential, in_use(), 1)).await.repeated);
    let lookup = Lookup::new(LookupFamily::Resource, "database:prod/orders");
    let on_orders = usage(world.broker.log(), &lookup).await.unwrap();
    let told: Vec<_> = on_orders.iter().map(|u| (u.case, u.is_unused())).collect();
    assert_eq!(told, [(unused, true), (inuse, false)]);
    let alice = Lookup::new(LookupFamily::Subject, person("alice").id());
    let hers: Vec<_> = usage(world.broker.log(), &alice).await.unwrap();
    let hers: Vec<_> = hers.iter().map(|u| (u.case, u.is_unused(), u.credentials.len())).collect();
    assert_eq!(hers, [(unused, true, 1), (claimed_by_nobody, false, 0)]);
}

#[tokio::test]
async fn a_line_that_comes_after_the_case_was_closed_stands_beside_it() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let early = used(credential, in_use(), 1);
    assert!(!observe(&world, &early).await.repeated);
    world.clock.advance(HOUR * 2);
    world.broker.sweep().await.unwrap();
    assert!(world.broker.case(case).await.unwrap().is_closed());
    let late = used(credential, in_use(), 2);
    let recorded = observe(&world, &late).await;
    assert_eq!(recorded, RecordedUse { case, credential, findings: vec![], repeated: false });
    assert!(observe(&world, &late).await.repeated && observe(&world, &early).await.repeated);
    assert_eq!(count(&world, case).await, 1);
    let told = usage(world.broker.log(), &Lookup::new(LookupFamily::Credential, credential)).await.unwrap();
    assert_eq!(told[0].credentials[0].uses.len(), 2);
    world.assert_invariants().await;
}

#[tokio::test]
async fn who_uses_access_often_does_not_make_its_case_grow_without_end() {
    let world = World::new().await;
    let (case, credential) = world.active("a", "alice", "database:prod/orders").await;
    let line = |n: usize| {
        let mut line = used(credential, in_use(), 0);
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        line.event.line = Some(ExternalDigest::from_bytes(digest));
        line
    };
    for n in 0..MAX_USES + 3 {
        assert!(!observe(&world, &line(n)).await.repeated);
    }
    assert!(observe(&world, &line(0)).await.repeated && observe(&world, &line(MAX_USES + 1)).await.repeated);
    assert_eq!(count(&world, case).await, MAX_USES);
    let told = usage(world.broker.log(), &Lookup::new(LookupFamily::Credential, credential)).await.unwrap();
    assert_eq!(told[0].credentials[0].uses.len(), MAX_USES + 3);
}

/// A target that cannot list, and does not answer.
struct Silent(IssuerName);

#[async_trait]
impl CredentialIssuer for Silent {
    fn name(&self) -> &IssuerName {
        &self.0
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::RemoteStateless,
            prepares: false,
            can_revoke: false,
            can_confirm: false,
            native_expiry: true,
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: 0,
            min_ttl_s: 930,
            max_ttl_s: 3600,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        Some(window)
    }

    async fn preflight(&self, _: &MintPlan) -> Result<(), PlanRefused> {
        Ok(())
    }

    async fn mint(&self, _: &MintAuthorization) -> Result<Minting, MintError> {
        Err(MintError::Unknown { cause: code!("timed_out") })
    }

    async fn revoke(&self, _: &RevokeAuthorization, of: &CredentialDescriptor) -> Result<RevokeOutcome, RevokeError> {
        Ok(RevokeOutcome::CannotRevoke { until: of.dies_at() })
    }

    async fn reconcile(&self, _: &ReconcileQuery) -> Result<Observed, ObserveError> {
        Err(ObserveError::Unsupported)
    }
}

/// A mint without an answer, looked for once after so many minutes.
async fn looked_for_after(minutes: u32) -> (World, CaseId, CredentialId) {
    let world = World::with_issuer(Arc::new(Silent(IssuerName::new("silent").unwrap()))).await;
    let case = world.approved("a", request("alice", "database:prod/orders", "read")).await;
    let minted = world.issue(case, &person("alice").id()).await;
    let Err(BrokerError::MintUnknown(credential)) = minted else { panic!("{minted:?}") };
    world.clock.advance(MINUTE * minutes);
    while world.broker.sweep().await.unwrap().done > 0 {}
    (world, case, credential)
}

#[tokio::test]
async fn what_cannot_be_found_out_is_unknown_until_it_would_have_died() {
    let (world, case, credential) = looked_for_after(30).await;
    let known = world.broker.case(case).await.unwrap();
    assert_eq!(known.credentials()[&credential].mint, MintState::Unknown);
    // Whoever uses it nevertheless holds what nobody was given.
    let findings = observe(&world, &used(credential, in_use(), 1)).await.findings;
    assert_eq!(findings, [UseFinding::NeverReleased]);

    let (world, case, credential) = looked_for_after(61).await;
    let settled = world.broker.case(case).await.unwrap();
    assert_eq!(settled.credentials()[&credential].mint, MintState::NeverExisted);
    assert!(settled.is_closed());
    world.assert_invariants().await;
}

#[tokio::test]
async fn a_grant_too_short_for_its_target_is_refused_before_anything_is_intended() {
    let world = World::with_issuer(Arc::new(Silent(IssuerName::new("silent").unwrap()))).await;
    let short = window(Duration::ZERO, Duration::from_secs(929));
    let short = request_within("alice", "database:prod/orders", "read", short).build().unwrap();
    let case = world.approved("a", short).await;
    let refused = world.issue(case, &person("alice").id()).await;
    assert!(matches!(&refused, Err(BrokerError::Refused { refusal: Refusal::TooShort(930), .. })), "{refused:?}");
    assert!(world.broker.case(case).await.unwrap().credentials().is_empty());
}
