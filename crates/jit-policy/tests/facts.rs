//! Typed sources over a team's own readers: what they say, how old it may be, and what happens when they do not answer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jit_core::*;
use jit_policy::*;
use support::*;

fn seconds(s: u32) -> Seconds {
    Seconds::new(NonZeroU32::new(s).unwrap())
}

fn system(name: &str) -> SystemName {
    SystemName::new(name).unwrap()
}

fn after(s: u64) -> Timestamp {
    now().saturating_add(Duration::from_secs(s))
}

/// A system that answers from a table, says how often it was asked, and can be down.
struct Table<K, V> {
    answers: BTreeMap<K, V>,
    otherwise: Option<V>,
    /// How long ago what it says was true.
    age: Duration,
    asked: Arc<AtomicUsize>,
}

impl<K: Ord, V> Table<K, V> {
    fn new(answers: impl IntoIterator<Item = (K, V)>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        Self { answers: answers.into_iter().collect(), otherwise: None, age: Duration::ZERO, asked }
    }
}

#[async_trait]
impl<K: Ord + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Reader<K, V> for Table<K, V> {
    async fn read(&self, of: &K, now: Timestamp) -> Result<Reading<V>, ReaderError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let value = self.answers.get(of).or(self.otherwise.as_ref()).cloned();
        let down = || ReaderError { code: code!("down"), message: "no route to host".to_owned() };
        Ok(Reading { value: value.ok_or_else(down)?, fetched_at: now.saturating_sub(self.age) })
    }
}

fn alice() -> PrincipalId {
    Principal::human(Identity::new("idp", "alice").unwrap()).id()
}

fn groups(names: &[&str]) -> BTreeSet<GroupName> {
    names.iter().map(|name| GroupName::new(*name).unwrap()).collect()
}

fn directory(age: u64) -> DirectoryGroups<Table<PrincipalId, BTreeSet<GroupName>>> {
    let mut table = Table::new([(alice(), groups(&["oncall", "staff"]))]);
    table.age = Duration::from_secs(age);
    DirectoryGroups::new(system("directory"), table, seconds(300))
}

fn ticket(status: &str, open: bool, assignees: &[PrincipalId]) -> Option<Ticket> {
    Some(Ticket { status: Code::new(status).unwrap(), open, assignees: assignees.iter().cloned().collect() })
}

fn asking(references: &[&str]) -> Request {
    let asked = request("db:prod/orders", &["read"]);
    let mut builder = Request::builder(
        asked.requester().clone(),
        asked.scope().clone(),
        *asked.window(),
        asked.justification().unwrap().clone(),
        RetentionClass::new("access").unwrap(),
    );
    for id in references {
        let id = ExternalId::new(*id).unwrap();
        builder = builder.external(ExternalRef { system: system("tickets"), id, digest: None });
    }
    builder.build().unwrap()
}

async fn input_from(sources: &[Arc<dyn FactSource>], request: &Request) -> CanonicalInput {
    let gathered = gather(sources, FactQuery { request, now: now() }).await;
    CanonicalInput::of_request(request, EvaluationPurpose::Request, now(), gathered).unwrap()
}

fn fact(input: &CanonicalInput, name: &str) -> String {
    let fact = &input.parts().facts[&Code::new(name).unwrap()];
    String::from_utf8(fact.value.to_bytes().unwrap()).unwrap()
}

fn permits(input: &CanonicalInput) -> Decision {
    fixed(RawEvaluation { permitted: true, determining: vec![permit("a")], ..Default::default() }).evaluate(input)
}

#[tokio::test]
async fn the_four_sources_say_what_a_policy_can_use_and_when_it_was_read() {
    let on_call = Table::new([(code!("dba"), BTreeSet::from([alice()]))]);
    let tickets = Table::new([
        (ExternalId::new("T-1").unwrap(), ticket("in_progress", true, &[alice()])),
        (ExternalId::new("T-2").unwrap(), ticket("new", true, &[])),
    ]);
    let risk = Risk { score: RiskScore::new(35).unwrap(), signals: BTreeSet::from([code!("new_device")]) };
    let sources: [Arc<dyn FactSource>; 4] = [
        Arc::new(directory(60)),
        Arc::new(OnCallSchedule::new(system("rota"), code!("on_call"), code!("dba"), on_call, seconds(60))),
        Arc::new(TicketState::new(system("tracker"), code!("ticket"), system("tickets"), tickets, seconds(60))),
        Arc::new(RiskScoring::new(system("risk"), code!("risk"), Table::new([(alice(), risk)]), seconds(60))),
    ];
    let input = input_from(&sources, &asking(&["T-1", "T-2"])).await;
    assert_eq!(fact(&input, "on_call"), r#"{"principal":false,"recipient":true,"requester":true}"#);
    assert_eq!(
        fact(&input, "ticket"),
        r#"{"assigned":true,"open":true,"referenced":true,"statuses":["in_progress","new"]}"#
    );
    assert_eq!(fact(&input, "risk"), r#"{"score":35,"signals":["new_device"]}"#);
    let parents = |kind: &str| {
        let uid = EntityUid::new(kind, "idp|alice").unwrap();
        let entity = input.parts().entities.iter().find(|e| e.uid == uid).unwrap();
        entity.parents.iter().map(|p| p.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    // As who asks, and as who receives.
    assert_eq!(
        (parents("human"), parents("identity")),
        (vec!["oncall".into(), "staff".into()], vec!["oncall".into(), "staff".into()])
    );
    let read: Vec<String> =
        input.parts().sources.iter().map(|s| format!("{} {} {}", s.source, s.fetched_at, s.max_age_s.get())).collect();
    assert_eq!(
        read,
        [
            "directory 2026-11-23T08:59:00.000000Z 300",
            "risk 2026-11-23T09:00:00.000000Z 60",
            "rota 2026-11-23T09:00:00.000000Z 60",
            "tracker 2026-11-23T09:00:00.000000Z 60",
        ]
    );
    assert!(permits(&input).permits());
    // What is recorded is what is evaluated again.
    assert_eq!(CanonicalInput::parse(input.as_bytes()).unwrap(), input);
}

#[tokio::test]
async fn tickets_that_are_closed_unknown_or_not_named_are_told_apart() {
    let tickets = [("open", ticket("new", true, &[])), ("closed", ticket("done", false, &[])), ("unknown", None)];
    let tickets = || Table::new(tickets.clone().map(|(id, ticket)| (ExternalId::new(id).unwrap(), ticket)));
    let says = async |references: &[&str]| {
        let source = TicketState::new(system("tracker"), code!("ticket"), system("tickets"), tickets(), seconds(60));
        fact(&input_from(&[Arc::new(source)], &asking(references)).await, "ticket")
    };
    assert!(says(&[]).await.contains(r#""open":false,"referenced":false"#));
    assert!(says(&["open"]).await.contains(r#""assigned":false,"open":true,"referenced":true"#));
    for others in [&["closed"][..], &["unknown"], &["open", "closed"], &["open", "unknown"]] {
        assert!(says(others).await.contains(r#""open":false,"referenced":true"#), "{others:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_makes_the_decision_indeterminate_under_the_name_of_its_source() {
    let fresh = input_from(&[Arc::new(directory(300))], &asking(&[])).await;
    assert!(permits(&fresh).permits());
    let stale = input_from(&[Arc::new(directory(301))], &asking(&[])).await;
    let named: Vec<String> = stale.parts().unavailable.iter().map(|u| format!("{} {}", u.source, u.code)).collect();
    assert_eq!(named, ["directory stale"]);
    let decision = permits(&stale);
    assert_eq!(decision.outcome, Outcome::Indeterminate);
    assert_eq!(decision.errors[0].code, code!("fact_unavailable"));
}

#[tokio::test]
async fn a_system_that_is_down_is_recorded_and_keeps_nobody_else_from_answering() {
    let risk: Table<PrincipalId, Risk> = Table::new([]);
    let sources: [Arc<dyn FactSource>; 2] =
        [Arc::new(RiskScoring::new(system("risk"), code!("risk"), risk, seconds(60))), Arc::new(directory(0))];
    let input = input_from(&sources, &asking(&[])).await;
    let named: Vec<String> = input.parts().unavailable.iter().map(|u| format!("{} {}", u.source, u.code)).collect();
    assert_eq!(named, ["risk down"]);
    assert_eq!(input.parts().sources.len(), 1);
    assert_eq!(permits(&input).outcome, Outcome::Indeterminate);
    assert!(!String::from_utf8_lossy(input.as_bytes()).contains("no route"), "messages stay out of records");
}

/// Two systems that each wait for the other to be asked.
struct Meeting(SystemName, Arc<tokio::sync::Barrier>);

#[async_trait]
impl FactSource for Meeting {
    fn name(&self) -> &SystemName {
        &self.0
    }

    async fn resolve(&self, _: FactQuery<'_>) -> Result<Gathered, FactError> {
        self.1.wait().await;
        Ok(Gathered::default())
    }
}

#[tokio::test]
async fn sources_are_asked_at_the_same_time() {
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    let sources: Vec<Arc<dyn FactSource>> =
        ["a", "b", "c"].map(|name| Arc::new(Meeting(system(name), barrier.clone())) as Arc<dyn FactSource>).into();
    let gathering = async { input_from(&sources, &asking(&[])).await };
    assert!(tokio::time::timeout(Duration::from_secs(10), gathering).await.is_ok());
}

#[tokio::test]
async fn a_cache_keeps_to_both_bounds_and_to_the_moment_of_the_first_reading() {
    let mut table = Table::new([]);
    table.otherwise = Some(7_u8);
    let asked = table.asked.clone();
    let cache = Cached::new(table, seconds(60), NonZeroUsize::new(2).unwrap());
    let read = async |of: u32, at: Timestamp| cache.read(&of, at).await.unwrap().fetched_at;
    let count = || asked.load(Ordering::Relaxed);

    assert_eq!((read(1, now()).await, count()), (now(), 1));
    assert_eq!((read(1, after(60)).await, count()), (now(), 1), "as old as it was read, and no older than allowed");
    assert_eq!((read(1, after(61)).await, count()), (after(61), 2));
    // A third answer displaces the oldest.
    read(2, after(62)).await;
    read(3, after(63)).await;
    assert_eq!(count(), 4);
    assert_eq!((read(2, after(64)).await, count()), (after(62), 4));
    assert_eq!((read(1, after(64)).await, count()), (after(64), 5));
}

#[tokio::test]
async fn a_cache_never_keeps_a_failure_or_serves_what_is_older_than_its_bound() {
    struct Flaky(Mutex<Vec<bool>>);
    #[async_trait]
    impl Reader<u32, u8> for Flaky {
        async fn read(&self, _: &u32, now: Timestamp) -> Result<Reading<u8>, ReaderError> {
            let up = self.0.lock().unwrap().pop().unwrap();
            let down = ReaderError { code: code!("down"), message: String::new() };
            if up { Ok(Reading { value: 1, fetched_at: now }) } else { Err(down) }
        }
    }
    let flaky = Flaky(Mutex::new(vec![true, false, true, false]));
    let cache = Cached::new(flaky, seconds(60), NonZeroUsize::new(2).unwrap());
    assert!(cache.read(&1, now()).await.is_err());
    assert!(cache.read(&1, now()).await.is_ok());
    assert!(cache.read(&1, after(61)).await.is_err(), "an old answer is no answer");
    assert!(cache.read(&1, after(62)).await.is_ok());
}

/// What a cached directory said is recorded with the moment it was read, and too old is too old.
#[tokio::test]
async fn a_cached_answer_ages_in_the_record() {
    let table = Table::new([(alice(), groups(&["oncall"]))]);
    let asked = table.asked.clone();
    let cache = Cached::new(table, seconds(600), NonZeroUsize::new(100).unwrap());
    let source = DirectoryGroups::new(system("directory"), cache, seconds(300));
    let request = asking(&[]);
    let at = async |moment: Timestamp| {
        let gathered = source.resolve(FactQuery { request: &request, now: moment }).await.unwrap();
        CanonicalInput::of_request(&request, EvaluationPurpose::Request, moment, gathered).unwrap()
    };
    assert_eq!(at(now()).await.parts().sources[0].fetched_at, now());
    let later = at(after(200)).await;
    assert_eq!((later.parts().sources[0].fetched_at, later.parts().unavailable.len()), (now(), 0));
    // The cache may keep it, the decision may not rest on it.
    assert_eq!(at(after(301)).await.parts().unavailable.len(), 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn scores_are_bounded() {
    assert_eq!((RiskScore::new(100).map(RiskScore::get), RiskScore::new(101)), (Some(100), None));
}
