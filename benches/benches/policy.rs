//! A back-test beside bare Cedar on the same inputs, and what a decision costs that is evidence.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and its output is a table"
)]

use std::{
    collections::BTreeSet,
    convert::Infallible,
    hint::black_box,
    num::NonZeroUsize,
    str::FromStr as _,
    time::{Duration, Instant},
};

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, EntityId, EntityTypeName, EntityUid as CedarUid,
    PolicyId, PolicySet, Request as CedarRequest, Schema,
};
use jit_core::{
    Action, EvaluationPurpose, Identity, Justification, Principal, Request, RetentionClass, Scope, Timestamp, Window,
};
use jit_policy::{
    Attributes, Backtest, CanonicalInput, Entity, EntityUid, Evaluator, FilePath, Gathered, PastDecision, PolicyBundle,
    PolicyEngine as _, RecordedInput, Replayer, Target,
    cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT},
};
use serde_json::{Value as Json, json};

const RUNS: usize = 5;

fn main() {
    let decisions: usize = std::env::var("JIT_BENCH_DECISIONS").map_or(100_000, |n| n.parse().unwrap());
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    println!(
        "{decisions} recorded decisions; median of {RUNS} runs, in turn. Bare Cedar gets the same inputs as Cedar's own JSON, in memory.\n"
    );
    println!("| rules | what | µs a decision | × bare Cedar |");
    println!("|---|---|---|---|");
    for rules in [10, 100] {
        let world = World::new(rules, decisions);
        let (mut bare, mut checked, mut one, mut all, mut replayed) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            bare.push(timed(|| world.bare(false)));
            checked.push(timed(|| world.bare(true)));
            one.push(timed(|| world.backtest(NonZeroUsize::MIN)));
            all.push(timed(|| world.backtest(threads)));
            replayed.push(timed(|| world.replay()));
        }
        let each = |times: &mut Vec<Duration>| {
            times.sort();
            times[RUNS / 2].as_secs_f64() * 1e6 / decisions as f64
        };
        let base = each(&mut checked);
        for (what, us) in [
            ("bare Cedar, inputs not checked against the schema", each(&mut bare)),
            ("bare Cedar, inputs checked, one thread", base),
            ("back-test, one thread", each(&mut one)),
            (&*format!("back-test, {threads} threads"), each(&mut all)),
            ("replay, one thread", each(&mut replayed)),
        ] {
            println!("| {rules} | {what} | {us:.1} | {:.2} |", us / base);
        }
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

/// What Cedar is given, as its own JSON, for one decision.
struct Bare {
    principal: CedarUid,
    action: CedarUid,
    resource: CedarUid,
    context: Json,
    entities: Json,
}

struct World {
    policy: Evaluator,
    past: Vec<PastDecision<u64>>,
    document: Vec<u8>,
    bare: Vec<Bare>,
    schema: Schema,
    policies: PolicySet,
}

impl World {
    fn new(rules: usize, decisions: usize) -> Self {
        let text = policy(rules);
        let engine = CedarEngine::new().unwrap();
        let target = Target {
            engine: engine.descriptor().name.clone(),
            language: engine.descriptor().language.clone(),
            entrypoint: ENTRYPOINT,
        };
        let schema = FilePath::new("jit.cedarschema").unwrap();
        let files = [
            (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
            (FilePath::new("rules.cedar").unwrap(), text.clone().into_bytes()),
        ];
        let snapshot = engine.load(&PolicyBundle::new(target, Some(schema), files).unwrap()).unwrap();
        let document = snapshot.document().to_bytes().unwrap();
        let policy = Evaluator::new(snapshot);
        let inputs: Vec<CanonicalInput> = (0..decisions).map(|i| input(i, rules)).collect();
        let decided = |(key, input): (u64, &CanonicalInput)| PastDecision {
            key,
            decision: policy.evaluate(input),
            input: Some(input.as_value().clone()),
        };
        let past: Vec<_> = (0..).zip(&inputs).map(decided).collect();
        let permits = past.iter().filter(|p| p.decision.permits()).count();
        assert!(permits > decisions / 10 && permits < decisions, "{permits} of {decisions} permit");
        let (schema, _) = Schema::from_cedarschema_str(BASE_SCHEMA).unwrap();
        let mut policies = PolicySet::new();
        for rule in PolicySet::from_str(&text).unwrap().policies() {
            policies.add(rule.new_id(PolicyId::new(rule.annotation("id").unwrap()))).unwrap();
        }
        let bare: Vec<Bare> = inputs.iter().map(bare).collect();
        let world = Self { policy, past, document, bare, schema, policies };
        assert_eq!(world.permitted(true), permits, "bare Cedar decides the same");
        world
    }

    fn bare(&self, checked: bool) {
        black_box(self.permitted(checked));
    }

    fn permitted(&self, checked: bool) -> usize {
        let authorizer = Authorizer::new();
        let schema = checked.then_some(&self.schema);
        let permits = |bare: &&Bare| {
            let entities = Entities::from_json_value(bare.entities.clone(), schema).unwrap();
            let context = Context::from_json_value(bare.context.clone(), schema.map(|s| (s, &bare.action))).unwrap();
            let Bare { principal, action, resource, .. } = bare;
            let request =
                CedarRequest::new(principal.clone(), action.clone(), resource.clone(), context, schema).unwrap();
            authorizer.is_authorized(&request, &self.policies, &entities).decision() == CedarDecision::Allow
        };
        self.bare.iter().filter(permits).count()
    }

    fn backtest(&self, threads: NonZeroUsize) {
        let past = self.past.iter().cloned().map(Ok::<_, Infallible>);
        let Ok(report) = Backtest::new(self.policy.clone()).threads(threads).run(past, |_| {});
        assert_eq!(report.unchanged, report.decisions);
    }

    fn replay(&self) {
        let mut replayer = Replayer::new(vec![std::sync::Arc::new(CedarEngine::new().unwrap())]);
        for past in &self.past {
            let input = RecordedInput::Present(past.input.as_ref().unwrap());
            assert!(replayer.replay(&past.decision, input, || Some(self.document.clone())).is_identical());
        }
    }
}

/// So many rules, of which one or two apply.
fn policy(rules: usize) -> String {
    let mut text = String::from(
        r#"@id("never") forbid(principal, action, resource in Jit::Resource::"database:prod/payroll") unless { context.break_glass };"#,
    );
    for i in 1..rules {
        text.push_str(&format!(
            r#"
@id("team-{i}") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"team-{i}", action in [Jit::Action::"read", Jit::Action::"write"], resource in Jit::Resource::"database:prod/{i}")
when {{ context.requested_duration <= 14400 && context.justification_length >= 10 && context.delegation_depth == 0 }};"#
        ));
    }
    text
}

fn input(i: usize, rules: usize) -> CanonicalInput {
    let now: Timestamp = "2026-11-23T09:00:00.000000Z".parse().unwrap();
    let now = now.saturating_add(Duration::from_secs(i as u64));
    let team = 1 + i % (rules - 1);
    let who = format!("user-{}", i % 5000);
    // Every third asks for what belongs to another team.
    let of = if i.is_multiple_of(3) { team + 1 } else { team };
    let scope =
        Scope::new(format!("database:prod/{of}/orders").parse().unwrap(), [Action::new("read").unwrap()]).unwrap();
    let window = Window::new(now, now.saturating_add(Duration::from_secs(3600))).unwrap();
    let request = Request::builder(
        Principal::human(Identity::new("https://idp.example.org", &*who).unwrap()),
        scope,
        window,
        Justification::new(format!("restore order {i}, INC-7")).unwrap(),
        RetentionClass::new("access").unwrap(),
    );
    let group = |name: String| EntityUid::new("group", name).unwrap();
    let parents: BTreeSet<EntityUid> = [group(format!("team-{team}")), group("staff".to_owned())].into();
    let entity = |uid, parents| Entity { uid, attrs: Attributes::default(), parents };
    let mut entities: Vec<Entity> = parents.iter().map(|uid| entity(uid.clone(), BTreeSet::new())).collect();
    entities.push(entity(EntityUid::new("human", format!("https://idp.example.org|{who}")).unwrap(), parents));
    let gathered = Gathered { entities, ..Gathered::default() };
    CanonicalInput::of_request(&request.build().unwrap(), EvaluationPurpose::Request, now, gathered).unwrap()
}

fn bare(input: &CanonicalInput) -> Bare {
    let parts = input.parts();
    let kind = |of: &EntityUid| format!("Jit::{}{}", of.kind.as_str()[..1].to_uppercase(), &of.kind.as_str()[1..]);
    let named = |of: &EntityUid| json!({ "type": kind(of), "id": of.id.as_str() });
    let uid = |of: &EntityUid| {
        CedarUid::from_type_name_and_id(kind(of).parse::<EntityTypeName>().unwrap(), EntityId::new(of.id.as_str()))
    };
    let entities = parts.entities.iter().map(|e| {
        let attrs: Json = serde_json::from_slice(&jit_core::canonical::to_bytes(&e.attrs).unwrap()).unwrap();
        json!({ "uid": named(&e.uid), "attrs": attrs, "parents": e.parents.iter().map(named).collect::<Vec<_>>() })
    });
    let context = &parts.context;
    let action = parts.actions.first().unwrap();
    Bare {
        principal: uid(&parts.subject),
        action: CedarUid::from_type_name_and_id("Jit::Action".parse().unwrap(), EntityId::new(action.as_str())),
        resource: uid(&parts.resource),
        context: json!({
            "now": context.now, "purpose": context.purpose, "requested_start": context.requested_start,
            "requested_end": context.requested_end, "requested_duration": context.requested_duration,
            "justification_length": context.justification_length, "break_glass": context.break_glass,
            "delegation_depth": context.delegation_depth, "recipient": { "__entity": named(&context.recipient) },
        }),
        entities: Json::Array(entities.collect()),
    }
}
