//! The policies that people start from: each set loads by itself, nothing looks wrong in them, and they decide as they say.
#![cfg(feature = "cedar")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{collections::BTreeSet, fs, num::NonZeroU32, path::PathBuf, time::Duration};

use jit_core::{canonical::Value, *};
use jit_policy::{cedar::*, *};
use support::*;

const SETS: [&str; 5] = ["agents", "ci", "cloud-roles", "databases", "kubernetes"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/policies")
}

fn bundle_of(sets: &[&str]) -> PolicyBundle {
    let engine = CedarEngine::new().unwrap();
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let names = sets.iter().map(|set| format!("{set}.cedar")).chain(["jit.cedarschema".to_owned()]);
    let files = names.map(|name| {
        let bytes = fs::read(folder().join(&name)).unwrap();
        (FilePath::new(name).unwrap(), bytes)
    });
    PolicyBundle::new(target, Some(FilePath::new("jit.cedarschema").unwrap()), files.collect::<Vec<_>>()).unwrap()
}

/// Who asks, in which groups.
#[derive(Clone, Copy)]
enum Who {
    Human(&'static [&'static str]),
    Pipeline(&'static [&'static str]),
    Agent(&'static [&'static str], Option<&'static [&'static str]>),
}

/// One request: who, what on what, for how many minutes, and what systems say about it.
struct Asked {
    who: Who,
    action: &'static str,
    resource: &'static str,
    minutes: u64,
    facts: &'static [(&'static str, &'static str)],
    emergency: bool,
}

fn asked(who: Who, action: &'static str, resource: &'static str, minutes: u64) -> Asked {
    Asked { who, action, resource, minutes, facts: &[], emergency: false }
}

impl Asked {
    fn with(self, facts: &'static [(&'static str, &'static str)]) -> Self {
        Self { facts, ..self }
    }

    fn emergency(self) -> Self {
        Self { emergency: true, ..self }
    }

    fn input(&self) -> CanonicalInput {
        let (requester, groups, acting) = match self.who {
            Who::Human(groups) => (Principal::human(Identity::new("idp", "alice").unwrap()), groups, None),
            Who::Pipeline(groups) => {
                (Principal::Workload { spiffe_id: "spiffe://example.org/ci/web".parse().unwrap() }, groups, None)
            }
            Who::Agent(groups, acting) => (agent(acting.is_some()), groups, acting),
        };
        let window = Window::new(now(), now().saturating_add(Duration::from_secs(60 * self.minutes))).unwrap();
        let scope = Scope::new(self.resource.parse().unwrap(), [Action::new(self.action).unwrap()]).unwrap();
        let class = RetentionClass::new("access").unwrap();
        let request = if self.emergency {
            let seconds = |s| Seconds::new(NonZeroU32::new(s).unwrap());
            let emergency = BreakGlass {
                severity: Severity::Critical,
                emergency: code!("database_down"),
                review_within: seconds(86_400),
                justify_within: seconds(3_600),
            };
            Request::break_glass(requester.clone(), scope, window, emergency, class)
        } else {
            let why = Justification::new("restore order 42, INC-7").unwrap();
            Request::builder(requester.clone(), scope, window, why, class)
        };
        let parents = |names: &[&str]| -> BTreeSet<EntityUid> {
            names.iter().map(|name| EntityUid::new("group", *name).unwrap()).collect()
        };
        let bare = |uid, parents| Entity { uid, attrs: Attributes::default(), parents };
        let mut entities = vec![bare(EntityUid::of_principal(&requester).unwrap(), parents(groups))];
        if let Some(groups) = acting {
            let dave = Principal::human(Identity::new("idp", "dave").unwrap()).id();
            entities.push(bare(EntityUid::of_identity(&dave).unwrap(), parents(groups)));
        }
        let all = groups.iter().chain(acting.unwrap_or_default());
        entities.extend(all.map(|name| bare(EntityUid::new("group", *name).unwrap(), BTreeSet::new())));
        let fact = |(name, value): &(&str, &str)| NamedFact {
            name: Code::new(*name).unwrap(),
            fact: Fact {
                value: Value::parse(value.as_bytes()).unwrap(),
                source: SystemName::new("test").unwrap(),
                fetched_at: now(),
            },
        };
        let gathered = Gathered { entities, facts: self.facts.iter().map(fact).collect(), ..Gathered::default() };
        CanonicalInput::of_request(&request.build().unwrap(), EvaluationPurpose::Request, now(), gathered).unwrap()
    }
}

fn agent(acting: bool) -> Principal {
    let event = InitiatingEvent {
        kind: code!("chat_message"),
        source: SystemName::new("chat").unwrap(),
        id: ExternalId::new("m-1").unwrap(),
        at: now(),
        digest: ExternalDigest::from_bytes([1; 32]),
    };
    let dave = Principal::human(Identity::new("idp", "dave").unwrap()).id();
    let mode =
        if acting { AgentMode::OnBehalfOf(Delegation::new(dave, vec![]).unwrap()) } else { AgentMode::Autonomous };
    let build = AgentBuild { version: Version::new("1").unwrap(), model: ModelName::new("model").unwrap() };
    let agent = Agent::new(
        Identity::new("agents", "bot").unwrap(),
        Identity::new("idp", "alice").unwrap(),
        build,
        mode,
        event,
        ExternalId::new("TASK-1").unwrap(),
        "spiffe://example.org/agent/bot".parse().unwrap(),
    );
    Principal::Agent(Box::new(agent.unwrap()))
}

/// What comes of it, in short: the rules, and what they demand.
fn answer(policy: &Evaluator, asked: &Asked) -> String {
    let decision = policy.evaluate(&asked.input());
    assert_eq!(decision.errors, [], "{} {}", asked.action, asked.resource);
    let rules: Vec<&str> = decision.determining.iter().map(|d| d.rule.as_str()).collect();
    let mut said = vec![if decision.permits() { "permit".to_owned() } else { "deny".to_owned() }, rules.join("+")];
    let obligations = &decision.obligations;
    if let Some(quorum) = obligations.approvals() {
        said.push(quorum.groups().map(|(group, count)| format!("{group}:{count}")).collect::<Vec<_>>().join(","));
    }
    said.extend(obligations.max_duration().map(|limit| format!("{}m", limit.get() / 60)));
    said.extend(obligations.conditions().iter().map(|condition| condition.id.to_string()));
    said.join(" ").trim_end().to_owned()
}

const OPEN: &[(&str, &str)] = &[("ticket", r#"{"assigned":true,"open":true,"referenced":true,"statuses":["new"]}"#)];
const CLOSED: &[(&str, &str)] =
    &[("ticket", r#"{"assigned":true,"open":false,"referenced":true,"statuses":["done"]}"#)];
const ON_CALL: &[(&str, &str)] = &[("on_call", r#"{"principal":false,"recipient":true,"requester":true}"#)];
const OFF_CALL: &[(&str, &str)] = &[("on_call", r#"{"principal":false,"recipient":false,"requester":false}"#)];
const CALM: &[(&str, &str)] = &[("risk", r#"{"score":10,"signals":[]}"#)];
const UNEASY: &[(&str, &str)] = &[("risk", r#"{"score":50,"signals":["new_device"]}"#)];
const RISKY: &[(&str, &str)] = &[("risk", r#"{"score":90,"signals":["impossible_travel"]}"#)];

#[test]
fn each_set_loads_by_itself_and_nothing_looks_wrong_in_all_of_them() {
    let engine = CedarEngine::new().unwrap();
    for set in SETS {
        engine.load(&bundle_of(&[set])).unwrap_or_else(|error| panic!("{set}: {error}"));
    }
    assert_eq!(engine.lint(&bundle_of(&SETS)).unwrap(), []);
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let sets: BTreeSet<String> = files.filter_map(|name| name.strip_suffix(".cedar").map(str::to_owned)).collect();
    assert_eq!(sets, SETS.map(str::to_owned).into(), "every set is exercised");
}

#[test]
fn they_decide_as_they_say() {
    use Who::{Agent, Human, Pipeline};
    let policy = Evaluator::new(CedarEngine::new().unwrap().load(&bundle_of(&SETS)).unwrap());
    let oncall = Human(&["oncall"]);
    let platform = Human(&["platform"]);
    let pipeline = Pipeline(&["pipelines"]);
    let for_dave = Agent(&["reviewed-agents"], Some(&["developers"]));
    for (asked, expected) in [
        (
            asked(oncall, "read", "database:prod/orders", 60),
            "permit database-read-oncall dba:1 240m mfa session_recording",
        ),
        (asked(Human(&[]), "read", "database:prod/orders", 60), "deny"),
        (asked(oncall, "write", "database:prod/orders", 60), "deny"),
        (asked(oncall, "write", "database:prod/orders", 60).with(CLOSED), "deny"),
        (
            asked(oncall, "write", "database:prod/orders", 60).with(OPEN),
            "permit database-write-ticket data-owner:1,dba:1 60m mfa notification session_recording",
        ),
        (
            asked(oncall, "read", "database:prod/orders", 60).with(OPEN),
            "permit database-read-oncall+database-write-ticket data-owner:1,dba:1 60m mfa notification session_recording",
        ),
        (asked(oncall, "read", "database:prod/payroll", 60), "deny database-payroll"),
        (
            asked(oncall, "admin", "database:prod/payroll", 60).emergency(),
            "permit database-emergency 120m notification post_review session_recording",
        ),
        (asked(Human(&["developers"]), "write", "database:test/orders", 600), "permit database-test 1440m"),
        (asked(Human(&["developers"]), "write", "database:prod/orders", 600), "deny"),
        (asked(Human(&["developers"]), "view", "cluster:prod/web/pods", 60), "permit cluster-view 480m"),
        (
            asked(Human(&["payments"]), "exec", "cluster:prod/payments/pods", 10),
            "permit cluster-exec-payments payments-leads:1 30m mfa session_recording source_address",
        ),
        (asked(Human(&["payments"]), "exec", "cluster:prod/web/pods", 10), "deny"),
        (
            asked(platform, "edit", "cluster:prod/web", 60).with(ON_CALL),
            "permit cluster-edit-oncall platform:1 120m mfa",
        ),
        (asked(platform, "edit", "cluster:prod/web", 60).with(OFF_CALL), "deny"),
        (asked(platform, "edit", "cluster:prod/kube-system", 60).with(ON_CALL), "deny cluster-system"),
        (
            asked(Human(&["engineering"]), "assume", "cloud:prod-account/ReadOnly", 60),
            "permit cloud-read-only 240m mfa",
        ),
        (asked(Human(&["engineering"]), "assume", "cloud:prod-account/Operator", 60), "deny"),
        (
            asked(platform, "assume", "cloud:prod-account/Operator", 60).with(CALM),
            "permit cloud-operator cloud-owners:1,security:1 60m managed_device mfa notification",
        ),
        (asked(platform, "assume", "cloud:prod-account/Operator", 60).with(UNEASY), "deny"),
        (asked(Human(&["engineering"]), "assume", "cloud:prod-account/ReadOnly", 60).with(RISKY), "deny cloud-risk"),
        (asked(platform, "assume", "cloud:prod-account/Root", 60).with(CALM), "deny cloud-root"),
        (asked(pipeline, "deploy", "pipeline:web/staging", 20), "permit ci-staging 60m"),
        (asked(pipeline, "deploy", "pipeline:web/prod", 20), "deny"),
        (
            asked(pipeline, "deploy", "pipeline:web/prod", 20).with(OPEN),
            "permit ci-production release-managers:1 30m notification",
        ),
        (asked(pipeline, "rollback", "pipeline:web/prod", 20), "permit ci-rollback 30m post_review"),
        (asked(Pipeline(&[]), "rollback", "pipeline:web/prod", 20), "deny"),
        (asked(Human(&["pipelines"]), "deploy", "pipeline:web/staging", 20), "deny ci-no-people"),
        (asked(for_dave, "read", "database:test/orders", 10), "permit agent-read-for-developer 30m"),
        (
            asked(for_dave, "write", "database:test/orders", 10),
            "permit agent-write-for-developer agent-reviewers:1 15m session_recording",
        ),
        (asked(Agent(&[], Some(&["developers"])), "write", "database:test/orders", 10), "deny"),
        (asked(Agent(&["reviewed-agents"], Some(&[])), "read", "database:test/orders", 10), "deny"),
        (asked(Agent(&["reviewed-agents"], None), "view", "cluster:prod/web", 10), "permit agent-alone-view 10m"),
        (asked(for_dave, "view", "cluster:prod/web", 10), "deny"),
        (
            asked(Agent(&["reviewed-agents", "oncall"], None), "read", "database:prod/orders", 10),
            "deny agent-no-production-data",
        ),
    ] {
        let what = format!("{} {} {:?}", asked.action, asked.resource, asked.facts);
        assert_eq!(answer(&policy, &asked), expected, "{what}");
    }
}
