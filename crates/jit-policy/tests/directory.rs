//! What a directory says about a request, and what becomes of a source that says nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use jit_core::*;
use jit_policy::*;
use support::*;

const DIRECTORY: &str = r#"{
  "entities": [
    {"uid": {"type": "human", "id": "idp|alice"}, "attrs": {"team": "payments"},
     "parents": [{"type": "group", "id": "oncall"}, {"type": "group", "id": "unknown"}]},
    {"uid": {"type": "human", "id": "idp|carol"}, "attrs": {}, "parents": [{"type": "group", "id": "leads"}]},
    {"uid": {"type": "group", "id": "oncall"}, "attrs": {}, "parents": [{"type": "group", "id": "staff"}]},
    {"uid": {"type": "group", "id": "staff"}, "attrs": {}, "parents": [{"type": "group", "id": "oncall"}]},
    {"uid": {"type": "group", "id": "leads"}, "attrs": {}, "parents": []}
  ],
  "approvers": {
    "dba": [{"identity": {"issuer": "idp", "subject": "carol"}}],
    "sre": [{"identity": {"issuer": "idp", "subject": "bob"}}, {"identity": {"issuer": "idp", "subject": "carol"}}]
  }
}"#;

fn directory() -> EntityDirectory {
    EntityDirectory::parse(SystemName::new("directory").unwrap(), DIRECTORY.as_bytes()).unwrap()
}

/// The result of a future that has nothing to wait for.
fn now_ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a directory in memory waits for nothing"),
    }
}

fn person(subject: &str) -> PrincipalId {
    PrincipalId::Identity(Identity::new("idp", subject).unwrap())
}

fn names(input: &CanonicalInput) -> BTreeSet<String> {
    input.parts().entities.iter().map(|e| format!("{}:{}", e.uid.kind, e.uid.id.as_str())).collect()
}

#[test]
fn the_requester_comes_with_every_group_above() {
    let sources: Vec<Arc<dyn FactSource>> = vec![Arc::new(directory())];
    let asked = request("db:prod/orders", &["read"]);
    let gathered = now_ready(gather(&sources, FactQuery { request: &asked, now: now() }));
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    let expected = [
        "group:oncall",
        "group:staff",
        "human:idp|alice",
        "identity:idp|alice",
        "resource:db:prod",
        "resource:db:prod/orders",
    ];
    assert_eq!(names(&input), expected.map(str::to_owned).into(), "a cycle of groups ends, and nobody else is told of");
    let alice = &input.parts().entities.iter().find(|e| e.uid.kind.as_str() == "human").unwrap();
    let attrs: Vec<&str> = alice.attrs.as_object().iter().map(|(name, _)| name).collect();
    assert_eq!(attrs, ["issuer", "subject", "team"], "what the request says and what the directory says, united");
    assert_eq!(alice.parents.len(), 2);
}

#[test]
fn a_recipient_stands_in_the_groups_of_whoever_has_that_identity() {
    let window = *request("db:prod", &["read"]).window();
    let asked = Request::builder(
        Principal::human(Identity::new("idp", "alice").unwrap()),
        request("db:prod", &["read"]).scope().clone(),
        window,
        Justification::new("for carol").unwrap(),
        RetentionClass::new("access").unwrap(),
    )
    .recipient(person("carol"))
    .build()
    .unwrap();
    let gathered = now_ready(directory().resolve(FactQuery { request: &asked, now: now() })).unwrap();
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    let carol = EntityUid::of_identity(&person("carol")).unwrap();
    let entity = input.parts().entities.iter().find(|e| e.uid == carol).unwrap();
    assert_eq!(entity.parents, [EntityUid::new("group", "leads").unwrap()].into());
    assert!(names(&input).contains("group:leads"));
}

#[test]
fn approvers_are_eligible_for_the_groups_they_are_in() {
    let groups = |subject: &str| {
        let groups = now_ready(directory().groups_of(&person(subject))).unwrap();
        groups.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(groups("carol"), ["dba", "sre"]);
    assert_eq!(groups("bob"), ["sre"]);
    assert!(groups("alice").is_empty());
    let other = PrincipalId::Identity(Identity::new("another-idp", "carol").unwrap());
    assert!(now_ready(directory().groups_of(&other)).unwrap().is_empty(), "the issuer is part of the identity");
}

/// A source that is away.
struct Away(SystemName);

#[async_trait::async_trait]
impl FactSource for Away {
    fn name(&self) -> &SystemName {
        &self.0
    }

    async fn resolve(&self, _: FactQuery<'_>) -> Result<Gathered, FactError> {
        let message = "connect to 10.0.0.7 failed".to_owned();
        Err(FactError { source_name: self.0.clone(), code: code!("timed_out"), message })
    }
}

#[test]
fn a_source_that_fails_is_named_and_denies_whatever_the_others_say() {
    let sources: Vec<Arc<dyn FactSource>> =
        vec![Arc::new(Away(SystemName::new("tickets").unwrap())), Arc::new(directory())];
    let asked = request("db:prod", &["read"]);
    let gathered = now_ready(gather(&sources, FactQuery { request: &asked, now: now() }));
    assert!(!gathered.entities.is_empty(), "the others were asked all the same");
    let expected = Unavailable { source: SystemName::new("tickets").unwrap(), code: code!("timed_out") };
    assert_eq!(gathered.unavailable, [expected]);
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered).unwrap();
    assert!(!String::from_utf8(input.as_bytes().to_vec()).unwrap().contains("10.0.0.7"), "its message is no evidence");
    let says = RawEvaluation { permitted: true, determining: vec![permit("a")], ..Default::default() };
    assert_eq!(fixed(says).evaluate(&input).outcome, Outcome::Indeterminate);
}

#[test]
fn two_sources_may_not_give_the_same_fact() {
    let fact = |value| NamedFact {
        name: code!("on_call"),
        fact: Fact { value, source: SystemName::new("rota").unwrap(), fetched_at: now() },
    };
    let facts = vec![fact(canonical::Value::Bool(true)), fact(canonical::Value::Bool(false))];
    let gathered = Gathered { facts, ..Gathered::default() };
    let asked = request("db:prod", &["read"]);
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered);
    assert_eq!(input, Err(InputError::FactConflict(code!("on_call"))));
}

#[test]
fn somebody_in_more_groups_than_an_input_holds_is_refused_rather_than_cut_off() {
    let groups: Vec<String> = (0..MAX_ENTITIES + 10).map(|i| format!("g{i}")).collect();
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut entities = vec![entity("human", "idp|alice", &names)];
    entities.extend(names.iter().map(|name| entity("group", name, &[])));
    let document = serde_json::json!({ "entities": entities, "approvers": {} }).to_string();
    let directory = EntityDirectory::parse(SystemName::new("directory").unwrap(), document.as_bytes()).unwrap();
    let asked = request("db:prod", &["read"]);
    let gathered = now_ready(directory.resolve(FactQuery { request: &asked, now: now() })).unwrap();
    let input = CanonicalInput::of_request(&asked, EvaluationPurpose::Request, now(), gathered);
    assert_eq!(input, Err(InputError::TooManyEntities));
}
