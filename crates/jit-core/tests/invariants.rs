//! For each invariant that records can show: a history that violates it alone is reported under its id and no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::collections::BTreeSet;

use jit_core::*;
use world::{
    World, at, at_most,
    forge::Forgery,
    person, policy, quorum, scope,
    story::{
        DERIVED, EMERGENCY, EXPIRED, EXTENDED, FAILED, REVOKED, STORY, WITHDRAWN, check_whole, stream, violated_alone,
    },
    window, word,
};

fn ledger(case: usize) -> StreamId {
    StreamId::Entitlement(STORY.cases[case].grant().unwrap().approved.entitlement)
}

#[test]
fn a_good_history_gives_no_finding() {
    assert_eq!(check_whole(&STORY.records), []);
    assert_eq!(check_whole(&Forgery::of(&STORY.records).seal()), []);
}

/// The content of a sketch's event, to be changed.
macro_rules! content {
    ($forgery:expr, $case:expr, $kind:ident, $nth:expr) => {
        match &mut $forgery.get(stream($case), &Kind::$kind, $nth).event {
            Event::$kind(content) => content,
            other => panic!("{other:?}"),
        }
    };
}

type Edit = fn(&mut Forgery);

/// Every invariant with ways to break it alone.
const VIOLATIONS: &[(InvariantId, &str, Edit)] = &[
    (InvariantId::Inv01, "the decision does not permit", |f| {
        content!(f, EXPIRED, PolicyEvaluated, 0).decision.outcome = Outcome::Deny;
    }),
    (InvariantId::Inv01, "no intent is named", |f| {
        f.get(stream(EXPIRED), &Kind::CredentialIssued, 0).refs.cause = None;
    }),
    (InvariantId::Inv01, "issued to somebody else", |f| {
        content!(f, EXPIRED, CredentialIssued, 0).descriptor.subject = person("mallory").id();
    }),
    (InvariantId::Inv01, "the grant lists no approval", |f| {
        f.get(stream(REVOKED), &Kind::GrantApproved, 0).refs.approvals.clear();
    }),
    (InvariantId::Inv01, "the grant is another's", |f| {
        f.get(stream(EXPIRED), &Kind::CredentialIssued, 0).refs.grant = Some(GrantId::v8([9; 16]));
    }),
    (InvariantId::Inv03, "two outcomes", |f| f.repeat(stream(EXPIRED), &Kind::CredentialIssued, 0)),
    (InvariantId::Inv03, "an attempt without outcome", |f| {
        f.remove(stream(REVOKED), &Kind::RevocationFailed, 0);
    }),
    (InvariantId::Inv03, "an unknown outcome that is not found out", |f| {
        f.remove(stream(DERIVED), &Kind::RevocationReconciled, 0);
    }),
    (InvariantId::Inv04, "two ends", |f| f.repeat(stream(EXPIRED), &Kind::GrantExpired, 0)),
    (InvariantId::Inv04, "no end", |f| f.remove(stream(EXPIRED), &Kind::GrantExpired, 0)),
    (InvariantId::Inv05, "issued beyond approved", |f| {
        content!(f, EXPIRED, CredentialIntended, 0).issued = window(0, 3601);
    }),
    (InvariantId::Inv05, "the credential outlives its intent", |f| {
        content!(f, EXPIRED, CredentialIssued, 0).descriptor.window = window(0, 3601);
    }),
    (InvariantId::Inv05, "approved beyond requested", |f| {
        content!(f, EXPIRED, GrantApproved, 0).approved = window(0, 3601);
    }),
    (InvariantId::Inv05, "longer than the policy allows", |f| {
        let all = Obligations::merge([quorum(&[("sre", 1), ("dba", 1)]), at_most(60)]).unwrap();
        content!(f, REVOKED, PolicyEvaluated, 0).decision.obligations = all;
    }),
    (InvariantId::Inv05, "extended beyond what was asked", |f| {
        content!(f, EXTENDED, GrantExtended, 0).approved = window(0, 3001);
    }),
    (InvariantId::Inv05, "extended beyond what the policy allows", |f| {
        let all = Obligations::merge([quorum(&[("sre", 1), ("dba", 1)]), at_most(2999)]).unwrap();
        content!(f, EXTENDED, PolicyEvaluated, 2).decision.obligations = all;
        // What is issued then must not be stricter either.
        let all = Obligations::merge([quorum(&[("sre", 1), ("dba", 1)]), at_most(2999)]).unwrap();
        content!(f, EXTENDED, PolicyEvaluated, 3).decision.obligations = all;
    }),
    (InvariantId::Inv05, "an extension shifts the window", |f| {
        content!(f, EXTENDED, GrantExtended, 0).approved = window(1, 3000);
        content!(f, EXTENDED, CredentialIntended, 1).issued = window(1, 3000);
        content!(f, EXTENDED, CredentialIssued, 1).descriptor.window = window(1, 3000);
    }),
    (InvariantId::Inv05, "extended by a decision that denies", |f| {
        content!(f, EXTENDED, PolicyEvaluated, 2).decision.outcome = Outcome::Deny;
    }),
    (InvariantId::Inv05, "extended without an approval", |f| {
        f.get(stream(EXTENDED), &Kind::GrantExtended, 0).refs.approvals.clear();
    }),
    (InvariantId::Inv05, "an extension that was not given", |f| {
        let failed = f.find(stream(EXTENDED), &Kind::ExtensionFailed, 0);
        f.0[failed].event = GrantExtended { approved: window(0, 3500) }.into();
    }),
    (InvariantId::Inv05, "issued beyond the extension", |f| {
        content!(f, EXTENDED, CredentialIntended, 1).issued = window(0, 3001);
    }),
    (InvariantId::Inv01, "issued on the extension of another grant", |f| {
        f.get(stream(EXTENDED), &Kind::GrantExtended, 0).refs.approved_by = None;
    }),
    (InvariantId::Inv01, "issued on an extension under another policy", |f| {
        f.get(stream(EXTENDED), &Kind::GrantExtended, 0).refs.policy = Some(PolicyDigest::from_bytes([8; 32]));
    }),
    (InvariantId::Inv07, "the recipient approves an extension", |f| {
        content!(f, EXTENDED, ApprovalRecorded, 1).approver = person("dave").id();
    }),
    (InvariantId::Inv07, "one person approves an extension twice", |f| {
        content!(f, EXTENDED, ApprovalRecorded, 2).approver = person("bob").id();
    }),
    (InvariantId::Inv08, "another extension is approved", |f| {
        content!(f, EXTENDED, ApprovalRecorded, 1).approved = window(0, 2900);
    }),
    (InvariantId::Inv08, "the approval of the request counts for an extension", |f| {
        let first = f.get(stream(EXTENDED), &Kind::ApprovalRecorded, 0).leaf;
        f.get(stream(EXTENDED), &Kind::GrantExtended, 0).refs.approvals.push(first);
    }),
    (InvariantId::Inv08, "the decision on an extension names no extension", |f| {
        f.get(stream(EXTENDED), &Kind::PolicyEvaluated, 4).refs.cause = None;
    }),
    (InvariantId::Inv08, "after an extension the decision at issuance names the first", |f| {
        let first = f.get(stream(EXTENDED), &Kind::PolicyEvaluated, 0).leaf;
        f.get(stream(EXTENDED), &Kind::PolicyEvaluated, 3).refs.cause = Some(first);
    }),
    (InvariantId::Inv08, "issued though the policy demands more than of the extension", |f| {
        let all = Obligations::merge([quorum(&[("sre", 2), ("dba", 1)]), at_most(7200)]).unwrap();
        content!(f, EXTENDED, PolicyEvaluated, 3).decision.obligations = all;
    }),
    (InvariantId::Inv09, "the quorum of an extension is not met", |f| {
        let all = Obligations::merge([quorum(&[("sre", 2), ("dba", 1)]), at_most(7200)]).unwrap();
        content!(f, EXTENDED, PolicyEvaluated, 2).decision.obligations = all;
    }),
    (InvariantId::Inv15, "an extension outlasts the parent", |f| {
        content!(f, EXPIRED, RequestSubmitted, 0).requested = window(0, 2900);
        content!(f, EXPIRED, ApprovalRecorded, 0).approved = window(0, 2900);
        content!(f, EXPIRED, GrantApproved, 0).approved = window(0, 2900);
        content!(f, EXPIRED, CredentialIntended, 0).issued = window(0, 2900);
        content!(f, EXPIRED, CredentialPrepared, 0).descriptor.window = window(0, 2900);
        content!(f, EXPIRED, CredentialIssued, 0).descriptor.window = window(0, 2900);
        content!(f, EXTENDED, RequestSubmitted, 0).parent.as_mut().unwrap().window = window(0, 2900);
    }),
    (InvariantId::Inv06, "issued beyond approved", |f| {
        content!(f, EXPIRED, CredentialIntended, 0).scope = scope("database:prod", &["read"]);
    }),
    (InvariantId::Inv07, "the recipient approves", |f| {
        content!(f, REVOKED, ApprovalRecorded, 0).approver = person("alice").id();
    }),
    (InvariantId::Inv07, "one person approves twice", |f| {
        content!(f, REVOKED, ApprovalRecorded, 1).approver = person("bob").id();
    }),
    (InvariantId::Inv07, "a holder of the grant above approves", |f| {
        content!(f, DERIVED, RequestSubmitted, 0).parent.as_mut().unwrap().holders.push(person("bob").id());
    }),
    (InvariantId::Inv08, "another window is approved", |f| {
        content!(f, REVOKED, ApprovalRecorded, 0).approved = window(0, 60);
    }),
    (InvariantId::Inv08, "another request is approved", |f| {
        let other = f.get(stream(EXPIRED), &Kind::RequestSubmitted, 0).leaf;
        content!(f, REVOKED, ApprovalRecorded, 0).request = other;
    }),
    (InvariantId::Inv08, "an approval counts twice", |f| {
        let grant = f.get(stream(REVOKED), &Kind::GrantApproved, 0);
        grant.refs.approvals.push(grant.refs.approvals[0]);
    }),
    (InvariantId::Inv08, "an approval of another case counts", |f| {
        let other = f.get(stream(EXPIRED), &Kind::ApprovalRecorded, 0).leaf;
        f.get(stream(DERIVED), &Kind::GrantApproved, 0).refs.approvals.push(other);
    }),
    (InvariantId::Inv08, "the decision at issuance names no cause", |f| {
        f.get(stream(EXPIRED), &Kind::PolicyEvaluated, 1).refs.cause = None;
    }),
    (InvariantId::Inv08, "issued though the policy demands more", |f| {
        let all = Obligations::merge([quorum(&[("sre", 1)])]).unwrap();
        content!(f, EXPIRED, PolicyEvaluated, 1).decision.obligations = all;
    }),
    (InvariantId::Inv08, "approvals are not voided", |f| f.remove(stream(WITHDRAWN), &Kind::ApprovalVoided, 0)),
    (InvariantId::Inv09, "the quorum is not met", |f| {
        let all = Obligations::merge([quorum(&[("sre", 2), ("dba", 1)]), at_most(7200)]).unwrap();
        content!(f, REVOKED, PolicyEvaluated, 0).decision.obligations = all;
    }),
    (InvariantId::Inv10, "no justification", |f| {
        content!(f, EXPIRED, RequestSubmitted, 0).justified = false;
    }),
    (InvariantId::Inv10, "deferred, and nothing is open", |f| {
        let obligation = content!(f, EMERGENCY, ObligationOpened, 1).obligation;
        f.0.retain(|s| match &s.event {
            Event::ObligationOpened(e) => e.obligation != obligation,
            Event::ObligationClosed(e) => e.obligation != obligation,
            _ => true,
        });
    }),
    (InvariantId::Inv11, "the policy was never published", |f| {
        f.remove(StreamId::Policy, &Kind::PolicyPublished, 0);
    }),
    (InvariantId::Inv11, "the record names another policy", |f| {
        f.get(stream(FAILED), &Kind::PolicyEvaluated, 0).refs.policy = Some(PolicyDigest::from_bytes([8; 32]));
    }),
    (InvariantId::Inv12, "no answer, and no reason", |f| {
        content!(f, FAILED, PolicyEvaluated, 0).decision.errors.clear();
    }),
    (InvariantId::Inv12, "an error permits", |f| {
        content!(f, FAILED, PolicyEvaluated, 0).decision.outcome = Outcome::Permit;
    }),
    (InvariantId::Inv14, "time runs backwards", |f| {
        f.get(StreamId::Gov, &Kind::LogOpened, 0).at = at(3);
    }),
    (InvariantId::Inv15, "the path is not the parent's", |f| {
        content!(f, DERIVED, RequestSubmitted, 0).parent.as_mut().unwrap().path.push(GrantId::v8([9; 16]));
    }),
    (InvariantId::Inv15, "the parent allows less", |f| {
        let parent = content!(f, DERIVED, RequestSubmitted, 0).parent.as_mut().unwrap();
        parent.scope = scope("database:prod", &["read"]);
    }),
    (InvariantId::Inv15, "wider than the parent", |f| {
        let parent = content!(f, DERIVED, RequestSubmitted, 0).parent.as_mut().unwrap();
        parent.window = window(0, 60);
    }),
    (InvariantId::Inv15, "its own ancestor", |f| {
        let own = f.get(stream(DERIVED), &Kind::GrantApproved, 0).refs.grant.unwrap();
        content!(f, DERIVED, RequestSubmitted, 0).parent.as_mut().unwrap().path.push(own);
    }),
    (InvariantId::Inv15, "the child's end names no cause", |f| {
        f.get(stream(DERIVED), &Kind::GrantRevoked, 0).refs.cause = None;
    }),
    (InvariantId::Inv15, "issued while the parent is not active", |f| {
        // The child's intent moves behind the end of its parent, with everything after it.
        let end = f.find(stream(REVOKED), &Kind::GrantRevoked, 0);
        let moved = f.0.remove(end);
        let before = f.find(stream(DERIVED), &Kind::CredentialIntended, 0);
        f.0.insert(before, moved);
    }),
    (InvariantId::Inv16, "another workload receives the privilege", |f| {
        let other = PrincipalId::Workload("spiffe://example.org/other".parse().unwrap());
        content!(f, DERIVED, RequestSubmitted, 0).recipient = other.clone();
        content!(f, DERIVED, GrantApproved, 0).recipient = other.clone();
        content!(f, DERIVED, CredentialIntended, 0).subject = other.clone();
        content!(f, DERIVED, CredentialIssued, 0).descriptor.subject = other;
    }),
    (InvariantId::Inv19, "the requester reviews", |f| {
        let review = STORY.cases[EMERGENCY].obligations().iter().find(|(_, o)| o.task == word("review")).unwrap().0;
        for sketch in &mut f.0 {
            if let Event::ObligationClosed(e) = &mut sketch.event
                && e.obligation == *review
            {
                e.by = person("dave").id();
            }
        }
    }),
    (InvariantId::Inv19, "no review is opened", |f| {
        let obligation = content!(f, EMERGENCY, ObligationOpened, 0).obligation;
        f.0.retain(|s| match &s.event {
            Event::ObligationOpened(e) => e.obligation != obligation,
            Event::ObligationClosed(e) => e.obligation != obligation,
            _ => true,
        });
    }),
    (InvariantId::Inv20, "one command opens two cases", |f| {
        let command = f.get(stream(REVOKED), &Kind::RequestSubmitted, 0).refs.command;
        f.get(stream(EXPIRED), &Kind::RequestSubmitted, 0).refs.command = command;
    }),
    (InvariantId::Inv21, "the end does not say what else justifies the access", |f| {
        content!(f, REVOKED, GrantRevoked, 0).ending.still_justified_by.clear();
    }),
    (InvariantId::Inv21, "the ledger forgets a grant", |f| {
        content!(f, REVOKED, GrantRevoked, 0).ending.still_justified_by.clear();
        match &mut f.get(ledger(REVOKED), &Kind::EntitlementChanged, 2).event {
            Event::EntitlementChanged(e) => e.live.clear(),
            other => panic!("{other:?}"),
        }
    }),
    (InvariantId::Inv21, "an end is not entered", |f| {
        f.get(ledger(REVOKED), &Kind::EntitlementChanged, 2).refs.cause = None;
    }),
    (InvariantId::Inv22, "a credential is not listed at the end", |f| {
        content!(f, REVOKED, GrantRevoked, 0).ending.residual.credentials.clear();
    }),
    (InvariantId::Inv22, "nobody saw a credential die", |f| {
        f.remove(stream(EXPIRED), &Kind::CredentialExpired, 0);
    }),
];

fn reported(findings: &[Finding]) -> BTreeSet<InvariantId> {
    findings.iter().map(|f| f.invariant).collect()
}

#[test]
fn each_violation_is_reported_under_its_id_and_no_other() {
    for (id, what, edit) in VIOLATIONS {
        let mut forgery = Forgery::of(&STORY.records);
        edit(&mut forgery);
        let findings = check_whole(&forgery.seal());
        assert!(findings.iter().all(Finding::is_violated), "{id} {what}: {findings:#?}");
        assert_eq!(reported(&findings), BTreeSet::from([*id]), "{what}: {findings:#?}");
        assert!(findings.iter().all(|f| !f.records.is_empty()), "{what}");
    }
}

#[test]
fn every_invariant_is_either_violated_here_or_left_to_instruments() {
    // These have tests of their own below: their histories cannot be sealed as real ones.
    let below = [InvariantId::Inv13, InvariantId::Inv18];
    for id in InvariantId::ALL {
        let shown = VIOLATIONS.iter().any(|(violated, ..)| violated == id) || below.contains(id);
        assert_eq!(shown, id.observation() != Observation::Instruments, "{id}");
        assert!(id.statement().ends_with('.') && id.as_str().starts_with("INV-"));
    }
}

/// A record sealed with these heads instead of its own place.
fn sealed_at(record: &Record, prev: StreamHead) -> Record {
    let world = World::new();
    let header = record.header();
    let read = ClockReading { at: header.at, clock: header.clock.clone() };
    let event = record.event().unwrap();
    let draft = world.recorder.draft(header.stream, event, header.refs.clone(), header.retain.clone(), read);
    draft.unwrap().seal(Some(prev), None).unwrap()
}

#[test]
fn inv_13_a_record_that_does_not_link() {
    let mut records = STORY.records.clone();
    let closed = records.iter().position(|r| r.header().kind == Kind::CaseClosed).unwrap();
    let n = records[closed].header().n - 1;
    records[closed] = sealed_at(&records[closed], StreamHead { n, leaf: LeafHash::from_bytes([0; 32]) });
    violated_alone(&records, InvariantId::Inv13);
}

#[test]
fn inv_13_a_case_that_is_longer_than_its_end_says() {
    let mut records = STORY.records.clone();
    let closed = records.iter().position(|r| r.header().kind == Kind::CaseClosed).unwrap();
    let mut forgery = Forgery::of(&records[closed..=closed]);
    let Event::CaseClosed(e) = &mut forgery.0[0].event else { panic!() };
    e.count += 1;
    let header = records[closed].header();
    let read = ClockReading { at: header.at, clock: header.clock.clone() };
    let draft = World::new()
        .recorder
        .draft(header.stream, forgery.0[0].event.clone(), header.refs.clone(), header.retain.clone(), read)
        .unwrap();
    records[closed] = draft.seal(Some(StreamHead { n: header.n - 1, leaf: header.prev.unwrap() }), None).unwrap();
    violated_alone(&records, InvariantId::Inv13);
}

#[test]
fn inv_13_gaps_in_the_log_and_roots_that_do_not_fold() {
    let mut frontier = jit_log::Frontier::new();
    STORY.records.iter().for_each(|r| frontier.push(r.leaf().to_hash()).unwrap());
    let size = frontier.size();
    let history = || History::whole((0..).zip(&STORY.records)).with_snapshots([policy()]);
    assert_eq!(check(&history().with_checkpoint(size, frontier.root()), STORY.now()), []);

    let wrong = check(&history().with_checkpoint(size - 1, frontier.root()), STORY.now());
    assert_eq!(reported(&wrong), BTreeSet::from([InvariantId::Inv13]));
    assert!(wrong[0].is_violated());

    let beyond = check(&history().with_checkpoint(size + 1, frontier.root()), STORY.now());
    assert_eq!(beyond.len(), 1);
    assert_eq!(beyond[0].verdict, Verdict::NotProvable(Reason::Partial));

    let gap = (0..).zip(&STORY.records).map(|(i, r)| (if i > 4 { i + 1 } else { i }, r));
    let findings = check(&History::whole(gap).with_snapshots([policy()]), STORY.now());
    assert_eq!(reported(&findings), BTreeSet::from([InvariantId::Inv13]));
}

#[test]
fn inv_13_a_kind_in_a_stream_where_it_may_not_stand() {
    let mut forgery = Forgery::of(&STORY.records);
    forgery.repeat(StreamId::Policy, &Kind::PolicyPublished, 0);
    let at = forgery.find(StreamId::Policy, &Kind::PolicyPublished, 1);
    forgery.0[at].stream = StreamId::Gov;
    violated_alone(&forgery.seal(), InvariantId::Inv13);
}

#[test]
fn inv_11_a_policy_whose_text_is_not_retrieved() {
    let whole = || History::whole((0..).zip(&STORY.records));
    let none = check(&whole().with_snapshots([]), STORY.now());
    assert!(!none.is_empty() && none.iter().all(|f| f.is_violated() && f.invariant == InvariantId::Inv11));
    let unsaid = check(&whole(), STORY.now());
    assert_eq!(reported(&unsaid), BTreeSet::from([InvariantId::Inv11]));
    assert!(unsaid.iter().all(|f| f.verdict == Verdict::NotProvable(Reason::SnapshotsNotGiven)));
}

#[test]
fn inv_16_an_agent_without_an_owner() {
    let mut forgery = Forgery::of(&STORY.records);
    let at = forgery.find(stream(DERIVED), &Kind::RequestSubmitted, 0);
    let records = forgery.clone().seal();
    let record = &records[at];
    let mut fields = record.payload().unwrap().fields().clone();
    let requester: FieldName = "requester".parse().unwrap();
    let field = fields.get_mut(&requester).unwrap();
    let FieldContent::Present { value: canonical::Value::Object(agent), .. } = &mut field.content else { panic!() };
    agent.remove("owner").unwrap();
    let payload = Payload::new(fields).unwrap();
    let mut header = record.header().clone();
    header.payload = payload.commitment(header.id).unwrap();
    let forged = Record::parse(header.to_bytes().unwrap(), Some(&payload.to_bytes().unwrap())).unwrap();
    // Whatever linked to the record links to the forged one.
    forgery.0.truncate(at);
    let mut records = forgery.seal();
    records.push(forged);
    let findings = world::findings(&records, Timestamp::EPOCH);
    let violated: Vec<_> = findings.iter().filter(|f| f.is_violated()).collect();
    assert_eq!(violated.len(), 1, "{findings:#?}");
    assert_eq!(violated[0].invariant, InvariantId::Inv16);
    assert!(findings.iter().any(|f| f.verdict == Verdict::NotProvable(Reason::Unreadable)));
}

// --- what is due, and when ---

#[test]
fn an_absence_is_a_violation_only_past_its_deadline_and_the_allowance() {
    let until = |case: usize, kind: Kind, nth: usize| {
        let forgery = Forgery::of(&STORY.records);
        let at = forgery.find(stream(case), &kind, nth);
        &STORY.records[..=at]
    };
    let intent = until(EXPIRED, Kind::CredentialIntended, 0);
    let attempt = until(REVOKED, Kind::RevocationFailed, 0);
    let active = until(EXPIRED, Kind::GrantActivated, 0);
    let Ok(Event::CredentialIntended(intended)) = intent.last().unwrap().event() else { panic!() };
    let granted = window(0, 3600).end();
    for (records, due, id) in [
        (intent, intended.resolve_at, InvariantId::Inv03),
        (attempt, granted.saturating_add(std::time::Duration::from_secs(5)), InvariantId::Inv22),
        (active, granted, InvariantId::Inv04),
    ] {
        let case = records.last().unwrap().header().stream;
        let of_case = |findings: Vec<Finding>| {
            let own = |f: &Finding| {
                f.invariant == id
                    && f.records.iter().any(|i| records[usize::try_from(*i).unwrap()].header().stream == case)
            };
            findings.into_iter().filter(own).count()
        };
        let latest = due.saturating_add(SWEEP_ALLOWANCE);
        assert_eq!(of_case(world::findings(records, latest)), 0, "{id}");
        assert_eq!(
            of_case(world::findings(records, latest.saturating_add(std::time::Duration::from_micros(1)))),
            1,
            "{id}"
        );
    }
}
