//! What a bundle proves, and that nothing else passes for one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use jit_audit::{
    Bundle, BundleBuilder, BundleError, BundleRecord, Examination, Failure, Notice, Reason, Report, Standing, Story,
    StreamState, Verdict, VerifyOptions, verify,
};
use jit_core::{
    FieldName, Kind, RetentionClass, StreamId,
    canonical::{Object, Value},
};
use jit_log::{KeyName, SignerKey, TrustPolicy};
use support::{ORIGIN, Plan, World, person};

fn check(world: &World, bundle: &Bundle) -> Report {
    verify(&bundle.to_bytes().unwrap(), &world.trust, &VerifyOptions::default())
}

fn disproved(report: &Report) -> &Failure {
    match report.verdict() {
        Verdict::Disproved(failure) => failure,
        other => panic!("{other}: {:?}", report.failures()),
    }
}

fn not_provable(report: &Report) -> &Failure {
    match report.verdict() {
        Verdict::NotProvable(failure) => failure,
        other => panic!("{other}: {:?}", report.failures()),
    }
}

fn position(bundle: &Bundle, kind: &Kind) -> usize {
    let named = format!("\"kind\":\"{kind}\"");
    bundle.records.iter().position(|record| record.header.contains(&named)).unwrap()
}

fn state(report: &Report, stream: StreamId) -> StreamState {
    report.streams().iter().find(|s| s.stream == stream).unwrap().state
}

/// The manifest an attacker would write for what is left.
fn recount(bundle: &mut Bundle) {
    bundle.manifest.counts.clear();
    for record in &bundle.records {
        let header = Value::parse(record.header.as_bytes()).unwrap();
        let kind = header.as_object().unwrap().get("kind").unwrap().as_str().unwrap().parse().unwrap();
        *bundle.manifest.counts.entry(kind).or_default() += 1;
    }
    bundle.manifest.first = bundle.records.first().map_or(0, |r| r.index);
    bundle.manifest.last = bundle.records.last().map_or(0, |r| r.index);
}

/// Changes a member of a field of a record.
fn set_field(record: &mut BundleRecord, field: &str, member: &str, value: Value) {
    let Some(Value::Object(fields)) = &mut record.fields else { panic!("no fields") };
    let Some(Value::Object(mut content)) = fields.remove(field) else { panic!("no field {field}") };
    content.remove(member);
    content.insert(member, value).unwrap();
    fields.insert(field, Value::Object(content)).unwrap();
}

#[tokio::test]
async fn a_whole_case_is_proved() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let bundle = world.bundle(case).await;
    let report = check(&world, &bundle);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    assert_eq!(state(&report, StreamId::Case(case)), StreamState::Complete);
    assert!(report.records().iter().all(|record| record.proven && record.standing == Standing::Intact));
    assert_eq!(report.notices(), []);
    assert!(report.findings().iter().all(|finding| !finding.is_violated()));
    let claims = report.claims().unwrap();
    assert_eq!(claims.manifest.by, person("auditor").id());
    assert!(claims.limits.iter().any(|limit| limit.as_str().contains("same stream and number")));
    assert_eq!(Bundle::parse(&bundle.to_bytes().unwrap()).unwrap(), bundle);
}

#[tokio::test]
async fn an_open_case_is_proved_up_to_where_it_stands() {
    let world = World::new().await;
    let case = world.run("a", Plan::Active).await;
    let bundle = world.bundle(case).await;
    let report = check(&world, &bundle);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    let last = bundle.records.iter().filter(|r| r.header.contains(&format!("\"case:{case}\""))).count() as u64 - 1;
    assert_eq!(state(&report, StreamId::Case(case)), StreamState::OpenAt(last));
}

#[tokio::test]
async fn a_truncated_tail_is_seen_as_open() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let mut bundle = world.bundle(case).await;
    let closed = position(&bundle, &Kind::CaseClosed);
    bundle.records.remove(closed);
    assert!(matches!(not_provable(&check(&world, &bundle)).reason, Reason::Manifest(_)));
    recount(&mut bundle);
    let report = check(&world, &bundle);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    assert_eq!(state(&report, StreamId::Case(case)), StreamState::OpenAt(2));
}

#[tokio::test]
async fn a_bundle_that_hides_what_it_does_not_prove_is_not_proved() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let whole = world.bundle(case).await;
    for hidden in 0..whole.limits.len() {
        let mut bundle = whole.clone();
        let limit = bundle.limits.remove(hidden);
        let report = check(&world, &bundle);
        if limit.as_str().contains("same stream and number") {
            assert!(matches!(not_provable(&report).reason, Reason::Manifest("stated limits")));
        } else {
            assert!(report.verdict().is_proved(), "{limit}: {:?}", report.failures());
        }
    }
    let mut none = whole.clone();
    none.limits.clear();
    assert!(matches!(not_provable(&check(&world, &none)).reason, Reason::Manifest("stated limits")));
}

#[tokio::test]
async fn a_dropped_record_leaves_a_gap() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let whole = world.bundle(case).await;
    for kind in [Kind::RequestSubmitted, Kind::ApprovalRecorded, Kind::GrantApproved, Kind::CredentialIntended] {
        let mut bundle = whole.clone();
        let dropped = position(&bundle, &kind);
        let after = bundle.records.remove(dropped).index;
        recount(&mut bundle);
        let report = check(&world, &bundle);
        let failure = not_provable(&report);
        assert!(matches!(failure.reason, Reason::Gap { .. }), "{kind}: {failure}");
        assert!(failure.place.as_ref().unwrap().index > after);
        assert_eq!(state(&report, StreamId::Case(case)), StreamState::Gap);
    }
}

#[tokio::test]
async fn swapped_records_are_refused() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let whole = world.bundle(case).await;
    let (a, b) = (position(&whole, &Kind::RequestSubmitted), position(&whole, &Kind::PolicyEvaluated));

    let mut order = whole.clone();
    order.records.swap(a, b);
    assert!(check(&world, &order).failures().iter().any(|failure| matches!(failure.reason, Reason::Order)));
    assert!(!check(&world, &order).verdict().is_proved());

    let mut indexes = whole;
    indexes.records.swap(a, b);
    let (low, high) = (indexes.records[b].index, indexes.records[a].index);
    (indexes.records[a].index, indexes.records[b].index) = (low, high);
    let report = check(&world, &indexes);
    assert_eq!(disproved(&report).place.as_ref().unwrap().index, low);
}

#[tokio::test]
async fn a_record_of_another_case_does_not_fit() {
    let world = World::new().await;
    let (case, other) = (world.run("a", Plan::Denied).await, world.run("b", Plan::Denied).await);
    let (mut bundle, foreign) = (world.bundle(case).await, world.bundle(other).await);
    let spliced = foreign.records[position(&foreign, &Kind::GrantDenied)].clone();
    let index = spliced.index;
    // Its proof leads to an older checkpoint of the same size, so only the stream betrays it.
    assert_eq!(bundle.logs, foreign.logs);
    bundle.records.push(spliced);
    bundle.records.sort_by_key(|record| record.index);
    recount(&mut bundle);
    let report = check(&world, &bundle);
    let failure = not_provable(&report);
    assert!(matches!(failure.reason, Reason::Gap { .. }), "{failure}");
    assert_eq!(failure.place.as_ref().unwrap().index, index);

    let mut swapped = world.bundle(case).await;
    let own = position(&swapped, &Kind::GrantDenied);
    let stolen = BundleRecord {
        index: swapped.records[own].index,
        ..foreign.records[position(&foreign, &Kind::GrantDenied)].clone()
    };
    swapped.records[own] = stolen;
    assert!(matches!(disproved(&check(&world, &swapped)).reason, Reason::Record(_)));
}

#[tokio::test]
async fn an_altered_field_or_salt_names_its_record() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let whole = world.bundle(case).await;
    let text = |text: &str| Value::text(text).unwrap();
    let changes = [
        (Kind::RequestSubmitted, "justification", "value", text("restore order 43, INC-7")),
        (Kind::RequestSubmitted, "justification", "salt", text(&"0".repeat(64))),
        (Kind::RequestSubmitted, "justification", "salt", text("no salt")),
        (Kind::RequestSubmitted, "requested", "value", Value::Bool(true)),
        (Kind::ApprovalRecorded, "approver", "value", text("idp.example|someone")),
        (Kind::ApprovalRecorded, "approver", "c", text("personal")),
        (Kind::GrantApproved, "scope", "value", text("everything")),
        (Kind::CredentialIssued, "descriptor", "value", Value::Object(Object::new())),
    ];
    for (kind, field, member, value) in changes {
        let mut bundle = whole.clone();
        let at = position(&bundle, &kind);
        set_field(&mut bundle.records[at], field, member, value);
        let report = check(&world, &bundle);
        let failure = disproved(&report);
        assert!(matches!(failure.reason, Reason::Payload(_)), "{kind} {field}: {failure}");
        let place = failure.place.as_ref().unwrap();
        assert_eq!((place.index, place.kind.as_ref()), (bundle.records[at].index, Some(&kind)));
        assert!(place.id.is_some());
        assert_eq!(report.records()[at].standing, Standing::Tampered);
        let line = failure.to_string();
        assert!(line.contains(&format!("record {}", place.index)) && line.contains(kind.as_str()), "{line}");
    }
}

#[tokio::test]
async fn policies_must_be_there_and_be_what_they_say() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let whole = world.bundle(case).await;

    let mut missing = whole.clone();
    missing.policies.clear();
    let report = check(&world, &missing);
    assert!(matches!(not_provable(&report).reason, Reason::PolicyAbsent(digest) if digest == world.policy()));

    let mut other = whole.clone();
    let document = support::snapshot("permit everything").to_bytes().unwrap();
    other.policies.insert(world.policy(), Value::parse(&document).unwrap());
    assert!(matches!(disproved(&check(&world, &other)).reason, Reason::PolicyOther { .. }));

    let mut malformed = whole.clone();
    malformed.policies.insert(world.policy(), Value::Bool(true));
    assert!(matches!(disproved(&check(&world, &malformed)).reason, Reason::PolicyMalformed { .. }));

    let mut unpublished = whole.clone();
    let published = position(&unpublished, &Kind::PolicyPublished);
    unpublished.records.remove(published);
    recount(&mut unpublished);
    assert!(matches!(not_provable(&check(&world, &unpublished)).reason, Reason::PolicyUnpublished(_)));

    let mut extra = whole;
    let more = support::snapshot("permit everything");
    extra.policies.insert(more.digest(), Value::parse(&more.to_bytes().unwrap()).unwrap());
    let report = check(&world, &extra);
    assert!(report.verdict().is_proved());
    assert_eq!(report.notices(), [Notice::UncitedPolicy(more.digest())]);
}

#[tokio::test]
async fn only_the_right_key_and_log_count() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let bundle = world.bundle(case).await;
    let bytes = bundle.to_bytes().unwrap();

    let wrong = SignerKey::from_seed(KeyName::parse(ORIGIN).unwrap(), [99; 32]);
    let wrong = TrustPolicy::new_log_only(wrong.verifier()).unwrap();
    let report = verify(&bytes, &wrong, &VerifyOptions::default());
    assert!(matches!(not_provable(&report).reason, Reason::Checkpoint(_)));
    assert!(report.records().iter().all(|record| !record.proven));

    let other = SignerKey::from_seed(KeyName::parse("other.example/log").unwrap(), [7; 32]);
    let other = TrustPolicy::new_log_only(other.verifier()).unwrap();
    assert!(matches!(not_provable(&verify(&bytes, &other, &VerifyOptions::default())).reason, Reason::Checkpoint(_)));

    let unknown = Examination::new(&bytes, None, &VerifyOptions::default());
    assert!(matches!(not_provable(unknown.report()).reason, Reason::NoTrustPolicy));

    let mut renamed = bundle.clone();
    renamed.logs[0].origin = "other.example/log".parse().unwrap();
    assert!(matches!(disproved(&check(&world, &renamed)).reason, Reason::Origin { .. }));

    let mut two = bundle.clone();
    two.logs.push(two.logs[0].clone());
    assert!(matches!(not_provable(&check(&world, &two)).reason, Reason::Logs(2)));

    let mut elsewhere = bundle.clone();
    elsewhere.records[0].log = 1;
    assert!(check(&world, &elsewhere).failures().iter().any(|failure| matches!(failure.reason, Reason::NoSuchLog(1))));

    // The same keys, another log: its checkpoint does not cover these records.
    let foreign = World::with_seed(8).await;
    let theirs = foreign.run("a", Plan::Denied).await;
    let mut mixed = bundle;
    mixed.logs = foreign.bundle(theirs).await.logs;
    assert!(matches!(
        disproved(&verify(&mixed.to_bytes().unwrap(), &foreign.trust, &VerifyOptions::default())).reason,
        Reason::Record(_)
    ));
}

#[tokio::test]
async fn nothing_and_anything_else_prove_nothing() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let mut empty = world.bundle(case).await;
    empty.records.clear();
    recount(&mut empty);
    let report = check(&world, &empty);
    assert!(report.failures().iter().any(|failure| matches!(failure.reason, Reason::Empty)));
    assert!(matches!(not_provable(&report).reason, Reason::Empty));

    let bytes = world.bundle(case).await.to_bytes().unwrap();
    let Value::Object(mut object) = Value::parse(&bytes).unwrap() else { panic!("an object") };
    object.insert("colour", Value::Bool(true)).unwrap();
    let unknown = Value::Object(object).to_bytes().unwrap();
    let report = verify(&unknown, &world.trust, &VerifyOptions::default());
    let failure = not_provable(&report);
    assert!(matches!(&failure.reason, Reason::NotABundle(BundleError::UnknownKey { key }) if key == "colour"));

    let spaced = [b" ".as_slice(), &bytes].concat();
    assert!(matches!(
        not_provable(&verify(&spaced, &world.trust, &VerifyOptions::default())).reason,
        Reason::NotABundle(_)
    ));
    assert!(matches!(
        not_provable(&verify(b"", &world.trust, &VerifyOptions::default())).reason,
        Reason::NotABundle(_)
    ));

    let mut elsewhere = world.bundle(case).await;
    elsewhere.scope = jit_audit::Scope::Case { case: world.run("b", Plan::Denied).await };
    assert!(matches!(not_provable(&check(&world, &elsewhere)).reason, Reason::ScopeAbsent(_)));
}

#[tokio::test]
async fn withheld_fields_need_to_be_accepted() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let bundle = world.bundle_without(case, &["justification", "comment"]).await;
    let bytes = bundle.to_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("INC-7"));

    let report = verify(&bytes, &world.trust, &VerifyOptions::default());
    assert!(matches!(not_provable(&report).reason, Reason::Withheld(_)));

    let mut options = VerifyOptions::default();
    options.accept_withheld = true;
    let report = verify(&bytes, &world.trust, &options);
    assert!(report.verdict().is_proved(), "{:?}", report.failures());
    let withheld: Vec<_> = report.records().iter().flat_map(|record| &record.fields).collect();
    let expected: Vec<(FieldName, Standing)> =
        ["justification", "comment"].map(|name| (name.parse().unwrap(), Standing::Withheld)).to_vec();
    assert_eq!(withheld, expected.iter().collect::<Vec<_>>());

    // Absent, and not even claimed to be withheld.
    let mut unexplained = bundle.clone();
    unexplained.manifest.exclusions.clear();
    let report = verify(&unexplained.to_bytes().unwrap(), &world.trust, &options);
    assert!(matches!(not_provable(&report).reason, Reason::Missing(_)));

    // Without the whole of `gov` nobody can say what was held.
    let mut groundless = bundle;
    groundless.records.retain(|record| !record.header.contains("\"kind\":\"log.opened\""));
    recount(&mut groundless);
    let report = verify(&groundless.to_bytes().unwrap(), &world.trust, &options);
    assert!(matches!(not_provable(&report).reason, Reason::AbsenceUnknown { why: "hold_state", .. }));
}

#[tokio::test]
async fn an_export_is_recorded_before_it_is_given_out() {
    let world = World::new().await;
    let case = world.run("a", Plan::Denied).await;
    let size = world.log.size().await.unwrap();
    for exported in 1..=2 {
        BundleBuilder::case(&world.log, case, person("auditor").id())
            .withhold(["justification".parse().unwrap()], jit_core::Code::new("not_for_reader").unwrap())
            .record_export(RetentionClass::new("access").unwrap())
            .build()
            .await
            .unwrap();
        assert_eq!(world.log.size().await.unwrap(), size + exported);
    }
    let ops = world.log.stream(&StreamId::Ops(world.log.recorder().writer())).await.unwrap();
    let jit_core::Event::EvidenceExported(event) = ops[1].record().event().unwrap() else { panic!("another kind") };
    assert_eq!((event.case, event.withheld.len()), (Some(case), 1));
}

#[tokio::test]
async fn the_story_names_everyone_and_marks_what_is_proven() {
    let world = World::new().await;
    let case = world.run("a", Plan::Granted).await;
    let bytes = world.bundle(case).await.to_bytes().unwrap();
    let proven = Story::of(&Examination::new(&bytes, Some(&world.trust), &VerifyOptions::default())).unwrap();
    let text = proven.to_string();
    for part in [
        "idp.example|u-1042 asked for access",
        "read on database:prod/orders",
        "restore order 42, INC-7",
        "idp.example|lead-7 approved for group leads",
        &world.policy().to_string(),
        "rule oncall permits",
        "issued by tokens",
        "access ended with its window",
        "residual access",
        "nothing that these records show",
        "proven",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(proven.lines().iter().all(|line| line.basis == jit_audit::Basis::Proven));
    let claimed = Story::of(&Examination::new(&bytes, None, &VerifyOptions::default())).unwrap();
    assert!(claimed.lines().iter().all(|line| line.basis == jit_audit::Basis::Claimed));

    let active = world.run("b", Plan::Active).await;
    let bytes = world.bundle(active).await.to_bytes().unwrap();
    let story = Story::of(&Examination::new(&bytes, Some(&world.trust), &VerifyOptions::default())).unwrap();
    assert_eq!(story.open_matters().len(), 2, "{story}");
}
