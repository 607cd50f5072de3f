//! Bad input meets a typed error at the parser or constructor that meets it first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::time::Duration;

use jit_core::{
    Line, Prose,
    canonical::{CanonicalError, Value, Violation},
    *,
};
use proptest::prelude::*;
use world::{World, at, person, retain, scope, window};

fn a_record() -> Record {
    World::new().records[2].clone()
}

/// The header's text with one part replaced.
fn header_with(from: &str, to: &str) -> Result<Header, HeaderError> {
    let text = String::from_utf8(a_record().header_bytes().to_vec()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    Header::parse(text.replacen(from, to, 1).as_bytes())
}

fn violation(error: HeaderError) -> Option<Violation> {
    match error {
        HeaderError::Canonical(error) => error.violation(),
        other => panic!("{other}"),
    }
}

#[test]
fn an_unknown_header_field_is_an_error() {
    let error = header_with("\"writer\":", "\"wrister\":0,\"writer\":").unwrap_err();
    assert!(matches!(error, HeaderError::Canonical(CanonicalError::Deserialize { .. })), "{error}");
}

#[test]
fn unknown_members_of_closed_types_are_errors() {
    for text in [
        r#"{"actions":["read"],"extra":1,"resource":"database:prod"}"#,
        r#"{"end":"2026-01-31T11:00:00.000000Z","extra":1,"start":"2026-01-31T10:00:00.000000Z"}"#,
    ] {
        let scope: Result<Scope, _> = canonical::from_slice(text.as_bytes());
        let window: Result<Window, _> = canonical::from_slice(text.as_bytes());
        assert!(matches!(scope, Err(CanonicalError::Deserialize { .. })));
        assert!(matches!(window, Err(CanonicalError::Deserialize { .. })));
    }
}

#[test]
fn floats_huge_integers_and_duplicate_keys_are_errors_of_their_own() {
    assert_eq!(header_with("\"n\":0", "\"n\":0.5").map_err(violation), Err(Some(Violation::Float)));
    assert_eq!(header_with("\"n\":0", "\"n\":1e3").map_err(violation), Err(Some(Violation::Float)));
    assert_eq!(header_with("\"n\":0", "\"n\":9007199254740992").map_err(violation), Err(Some(Violation::IntegerRange)));
    assert_eq!(header_with("\"n\":0", "\"n\":0,\"n\":0").map_err(violation), Err(Some(Violation::DuplicateKey)));
    assert_eq!(header_with("\"n\":0", "\"n\":-1").map_err(violation), Err(None));
    assert_eq!(Value::parse(b"[0.1]").unwrap_err().violation(), Some(Violation::Float));
    assert_eq!(Value::parse(br#"{"a":1,"\u0061":2}"#).unwrap_err().violation(), Some(Violation::DuplicateKey));
}

#[test]
fn invalid_utf8_is_an_error() {
    let mut bytes = a_record().header_bytes().to_vec();
    let at = bytes.iter().position(|b| *b == b'a').unwrap();
    bytes[at] = 0xff;
    assert_eq!(Header::parse(&bytes).map_err(violation), Err(Some(Violation::Utf8)));
}

#[test]
fn numbers_and_predecessors_agree() {
    assert_eq!(header_with("\"n\":0", "\"n\":1"), Err(HeaderError::Predecessor { n: 1 }));
    let leaf = LeafHash::from_bytes([0; 32]);
    let error = header_with("\"refs\":", &format!("\"prev\":\"{leaf}\",\"refs\":"));
    assert_eq!(error, Err(HeaderError::Predecessor { n: 0 }));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    assert_eq!(Header::parse(&vec![b' '; MAX_HEADER + 1]), Err(HeaderError::TooLarge));
    assert_eq!(Payload::parse(&vec![b' '; MAX_PAYLOAD + 1]), Err(PayloadError::TooLarge));
    let ten_megabytes = "a".repeat(10 << 20);
    let too_long = Err(TextError::TooLong { what: "justification", max: MAX_JUSTIFICATION });
    assert_eq!(Justification::new(ten_megabytes), too_long);
}

#[test]
fn a_blank_justification_is_an_error() {
    for blank in ["", " ", "\n\t", "\u{2003}\u{a0}"] {
        assert_eq!(Justification::new(blank), Err(TextError::Blank { what: "justification" }), "{blank:?}");
    }
    assert_eq!(Justification::new("a\0b"), Err(TextError::Character { what: "justification" }));
}

#[test]
fn text_that_turns_the_direction_of_what_follows_is_an_error() {
    for turned in ["a\u{202e}b", "\u{2066}a", "a\u{2069}"] {
        assert_eq!(Justification::new(turned), Err(TextError::Character { what: "justification" }));
        assert_eq!(Prose::new(turned), Err(TextError::Character { what: "text" }));
        assert_eq!(Line::new(turned), Err(TextError::Character { what: "line" }));
    }
    // Text that runs from right to left by itself is text.
    assert!(Justification::new("שחזור הזמנה 42").is_ok());
}

#[test]
fn reversed_and_empty_windows_are_errors() {
    assert_eq!(Window::new(at(10), at(9)), Err(WindowError { start: at(10), end: at(9) }));
    assert_eq!(Window::new(at(10), at(10)), Err(WindowError { start: at(10), end: at(10) }));
}

fn asked(window: Window) -> Result<(), RequestError> {
    let request = Request::builder(
        person("alice"),
        scope("database:prod", &["read"]),
        window,
        Justification::new("INC-7").unwrap(),
        retain(),
    );
    request.build().unwrap().check_submittable(at(1000), &RequestLimits::default())
}

#[test]
fn windows_in_the_past_too_far_ahead_or_too_long_are_errors() {
    const DAY: u64 = 86_400;
    assert_eq!(asked(window(0, 1000)), Err(RequestError::WindowPast { end: at(1000), now: at(1000) }));
    let furthest = at(1000).saturating_add(RequestLimits::default().furthest);
    let far = window(1000, 1000 + 91 * DAY);
    assert_eq!(asked(far), Err(RequestError::WindowTooFar { end: far.end(), furthest }));
    let forever = Window::new(at(0), Timestamp::MAX).unwrap();
    assert_eq!(asked(forever), Err(RequestError::WindowTooFar { end: Timestamp::MAX, furthest }));
    assert_eq!(asked(window(1000, 1001 + 30 * DAY)), Err(RequestError::WindowTooLong { max_s: 30 * DAY }));
    assert_eq!(asked(window(1000, 1000 + 30 * DAY)), Ok(()));
}

#[test]
fn empty_and_overfull_scopes_are_errors() {
    let resource: Resource = "database:prod".parse().unwrap();
    assert_eq!(Scope::new(resource.clone(), []), Err(ScopeError::NoAction));
    let many = (0..=MAX_ACTIONS).map(|i| Action::new(format!("a{i}")).unwrap());
    assert_eq!(Scope::new(resource, many), Err(ScopeError::TooManyActions { max: MAX_ACTIONS }));
    let read: Result<Scope, _> = canonical::from_slice(br#"{"actions":[],"resource":"database:prod"}"#);
    assert!(matches!(read, Err(CanonicalError::Deserialize { .. })));
}

#[test]
fn a_request_that_nobody_may_make_is_an_error() {
    let ask = |who: Principal| {
        let why = Justification::new("INC-7").unwrap();
        Request::builder(who, scope("database:prod", &["read"]), window(0, 60), why, retain())
    };
    let rule = Principal::Rule { rule: RuleId::new("r").unwrap(), policy: world::policy() };
    assert_eq!(ask(rule).build(), Err(RequestError::RuleAsks));
    let other = person("alice").id();
    let agent = ask(world::agent("robot", AgentMode::Autonomous)).recipient(other.clone()).build();
    assert_eq!(agent, Err(RequestError::AgentRecipient { recipient: other }));
    let mut external = ask(person("alice"));
    for _ in 0..=MAX_EXTERNAL {
        let system = SystemName::new("tickets").unwrap();
        external = external.external(ExternalRef { system, id: ExternalId::new("1").unwrap(), digest: None });
    }
    assert_eq!(external.build(), Err(RequestError::TooManyReferences { max: MAX_EXTERNAL }));
    let mut reserved = canonical::Object::new();
    reserved.insert("$absent", Value::Bool(true)).unwrap();
    let attributes = ask(person("alice")).attributes(reserved).build();
    assert_eq!(attributes, Err(RequestError::Attributes(CanonicalError::Value(Violation::ReservedKey))));
}

#[test]
fn delegation_has_no_cycle_and_no_end_that_is_out_of_reach() {
    let (a, b) = (person("a").id(), person("b").id());
    let twice = Delegation::new(a.clone(), vec![b.clone(), a.clone()]);
    assert_eq!(twice, Err(DelegationError::Cycle(a.clone())));
    let long = (0..=MAX_CHAIN).map(|i| person(&format!("p{i}")).id()).collect();
    assert_eq!(Delegation::new(a, long), Err(DelegationError::TooDeep));
    assert_eq!(Quorum::try_from(Vec::new()), Err(QuorumError::Empty));
    let zero: Result<Quorum, _> = canonical::from_slice(br#"[{"count":0,"group":"sre"}]"#);
    assert!(zero.is_err());
}

#[test]
fn an_unknown_obligation_is_an_error() {
    let unknown: Result<Obligations, _> = canonical::from_slice(br#"[{"properties":{},"type":"dance"}]"#);
    assert!(matches!(unknown, Err(CanonicalError::Deserialize { .. })));
}

#[test]
fn a_payload_that_is_not_the_committed_one_is_an_error() {
    let record = a_record();
    let other = World::new().records[1].payload().unwrap().to_bytes().unwrap();
    let error = Record::parse(record.header_bytes().to_vec(), Some(&other)).unwrap_err();
    assert_eq!(error, ParseRecordError::Commitment(record.header().id));
}

#[test]
fn clocks_at_the_edges_of_time_do_not_overflow() {
    assert_eq!(Timestamp::MAX.checked_add(Duration::from_micros(1)), None);
    assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::EPOCH.saturating_sub(Duration::MAX), Timestamp::EPOCH);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither noise nor a damaged record makes a parser panic.
    #[test]
    fn no_bytes_make_a_parser_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _header = Header::parse(&noise);
        let _payload = Payload::parse(&noise);
        let record = a_record();
        let mut bytes = record.header_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(damaged) = Record::parse(bytes, None) {
            let _event = damaged.event();
            let _projection = project(&damaged);
        }
    }
}
