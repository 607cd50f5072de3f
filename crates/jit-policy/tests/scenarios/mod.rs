//! The scenarios of docs/policy-scenarios.md, and the policies that decide them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries, which may panic"
)]

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{
    canonical::{Int, Object, Value},
    *,
};
use jit_policy::*;

const TABLE: &str = include_str!("../../../../docs/policy-scenarios.md");
pub const CEDAR: &str = include_str!("rules.cedar");
pub const REGO: &str = include_str!("rules.rego");
pub const DATA: &str = include_str!("data.json");

/// A row of the table.
#[derive(Debug)]
pub struct Scenario {
    pub row: String,
    pub input: CanonicalInput,
    pub outcome: Outcome,
    pub rules: Vec<String>,
    pub demands: Vec<String>,
}

/// Every row of the table.
pub fn scenarios() -> Vec<Scenario> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let all: Vec<Scenario> = rows.map(scenario).collect();
    let numbers: Vec<String> = all.iter().map(|s| s.row.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(numbers, (1..=all.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "rows are numbered");
    all
}

/// What a decision says of what the table has.
pub fn said(decision: &Decision) -> (Outcome, Vec<String>, Vec<String>) {
    let rules = decision.determining.iter().map(|d| d.rule.to_string()).collect();
    let obligations = &decision.obligations;
    let mut demands = Vec::new();
    if let Some(quorum) = obligations.approvals() {
        for (group, count) in quorum.groups() {
            let then = quorum.escalation(group).iter().map(|step| format!(">{}@{}", step.to, step.after.get()));
            demands.push(format!("{group}:{count}{}", then.collect::<String>()));
        }
    }
    demands.extend(obligations.max_duration().map(|seconds| seconds.get().to_string()));
    demands.extend(obligations.approval_deadline().map(|seconds| format!("deadline={}", seconds.get())));
    if let Some(demand) = obligations.justification() {
        demands.push(format!("justification={}", written(&canonical::to_value(demand).unwrap())));
    }
    for Condition { id, value, enforcement } in obligations.conditions() {
        let by = written(&canonical::to_value(enforcement).unwrap());
        let value = if *value == Value::Bool(true) { String::new() } else { format!("={}", written(value)) };
        demands.push(format!("{id}{value}@{by}"));
    }
    (decision.outcome, rules, demands)
}

/// A value as the table writes it, without blanks.
fn written(value: &Value) -> String {
    match value {
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.get().to_string(),
        Value::Text(text) => text.as_str().to_owned(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join("+"),
        Value::Object(object) => {
            object.iter().map(|(name, value)| format!("{name}:{}", written(value))).collect::<Vec<_>>().join(",")
        }
    }
}

fn scenario(row: &str) -> Scenario {
    let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
    let [_, who, asks, on, lasting, circumstances, outcome, rules, demands] = cells[..] else { panic!("{row}") };
    let words = |cell: &str| cell.split_whitespace().map(str::to_owned).collect();
    Scenario {
        row: row.to_owned(),
        input: input(who, asks, on, lasting, circumstances),
        outcome: match outcome {
            "permit" => Outcome::Permit,
            "deny" => Outcome::Deny,
            "indeterminate" => Outcome::Indeterminate,
            _ => panic!("{row}"),
        },
        rules: words(rules),
        demands: words(demands),
    }
}

fn input(who: &str, asks: &str, on: &str, lasting: &str, circumstances: &str) -> CanonicalInput {
    let (person, groups) = who.split_once(" in ").unwrap_or((who, ""));
    let words: Vec<&str> = person.split(' ').collect();
    let mut entities: BTreeMap<EntityUid, Entity> = BTreeMap::new();
    let mut add = |kind: &str, id: &str, attrs: &[(&str, Value)], parents: BTreeSet<EntityUid>| {
        let mut object = Object::new();
        for (name, value) in attrs {
            object.insert(*name, value.clone()).unwrap();
        }
        let uid = EntityUid::new(kind, id).unwrap();
        entities.insert(uid.clone(), Entity { uid: uid.clone(), attrs: Attributes::new(object).unwrap(), parents });
        uid
    };
    let mut members = BTreeSet::new();
    for path in groups.split(' ').filter(|g| !g.is_empty()) {
        let mut above = BTreeSet::new();
        for group in path.rsplit('/') {
            above = BTreeSet::from([add("group", group, &[], above)]);
        }
        members.extend(above);
    }
    let text = |t: &str| Value::text(t).unwrap();
    let person = |name: &str| format!("idp|{name}");
    let named = |name: &str| vec![("issuer", text("idp")), ("subject", text(name))];
    let none = BTreeSet::new;
    let (subject, on_behalf_of) = match words[..] {
        ["human", name] => (add("human", &person(name), &named(name), members), None),
        ["workload", name] => {
            let id = format!("spiffe://example.org/{name}");
            (add("workload", &id, &[("spiffe_id", text(&id))], members), None)
        }
        ["agent", name, ref mode @ ..] => {
            let mut attrs = named(name);
            for key in ["owner", "version", "model", "task", "workload", "event"] {
                attrs.push((key, text("x")));
            }
            attrs.push(("autonomous", Value::Bool(mode == ["alone"])));
            let agent = add("agent", &person(name), &attrs, none());
            let behalf = mode.get(1).map(|name| add("identity", &person(name), &[], members));
            (agent, behalf)
        }
        _ => panic!("{who}"),
    };
    let recipient = match subject.kind.as_str() {
        "human" => subject.id.as_str().to_owned(),
        _ => person("recipient"),
    };
    let recipient = add("identity", &recipient, &[], none());
    let (kind, path) = on.split_once(':').unwrap();
    let mut resource = None;
    for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
        let prefix = &path[..end];
        let attrs = [("kind", text(kind)), ("path", text(prefix))];
        resource = Some(add("resource", &format!("{kind}:{prefix}"), &attrs, resource.into_iter().collect()));
    }
    let duration: i64 = match lasting.split_at(lasting.len() - 1) {
        (hours, "h") => hours.parse::<i64>().unwrap() * 3600,
        (minutes, "m") => minutes.parse::<i64>().unwrap() * 60,
        _ => panic!("{lasting}"),
    };
    let mut now = at("2026-11-23");
    let (mut depth, mut justification, mut emergency) = (0, 40, false);
    let (mut facts, mut unavailable) = (BTreeMap::new(), Vec::new());
    let mut judging: Option<Judging> = None;
    for word in circumstances.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "now" => now = at(value),
            "depth" => depth = value.parse().unwrap(),
            "justification" => justification = value.parse().unwrap(),
            "emergency" => emergency = true,
            "of" => {
                let (requester, group) = value.split_once('/').unwrap_or((value, ""));
                let groups =
                    Some(group).filter(|group| !group.is_empty()).map(|group| add("group", group, &[], none()));
                let requester = add("identity", &person(requester), &[], groups.into_iter().collect());
                judging = Some(Judging { requester, actions: BTreeSet::new(), group: None, owner: false });
            }
            "wants" => {
                let wanted = value.split(',').map(|action| Action::new(action).unwrap());
                judging.as_mut().unwrap().actions.extend(wanted);
            }
            "as" => judging.as_mut().unwrap().group = Some(GroupName::new(value).unwrap()),
            "owner" => judging.as_mut().unwrap().owner = true,
            "unavailable" => {
                unavailable.push(Unavailable { source: SystemName::new("scores").unwrap(), code: code!("timeout") })
            }
            "risk" | "ticket" | "change" => {
                let value = match value.parse::<i64>() {
                    Ok(int) => Value::Int(Int::new(int).unwrap()),
                    Err(_) => text(value),
                };
                let source = SystemName::new("facts").unwrap();
                facts.insert(Code::new(name).unwrap(), Fact { value, source, fetched_at: Timestamp::EPOCH });
            }
            _ => panic!("{word}"),
        }
    }
    CanonicalInput::new(InputParts {
        schema: InputSchema::V1,
        subject,
        actions: asks.split(' ').map(|action| Action::new(action).unwrap()).collect(),
        resource: resource.unwrap(),
        context: InputContext {
            now,
            purpose: match &judging {
                None => EvaluationPurpose::Request,
                Some(Judging { group: Some(_), .. }) => EvaluationPurpose::Approval,
                Some(_) => EvaluationPurpose::Review,
            },
            requested_start: now,
            requested_end: now + duration,
            requested_duration: duration,
            justification_length: justification,
            break_glass: emergency,
            recipient,
            on_behalf_of,
            delegation_depth: depth,
            judging,
        },
        entities: entities.into_values().collect(),
        facts,
        unavailable,
        sources: Vec::new(),
    })
    .unwrap()
}

fn at(day: &str) -> i64 {
    format!("{day}T09:00:00.000000Z").parse::<Timestamp>().unwrap().unix_seconds()
}

#[cfg(feature = "cedar")]
pub fn cedar() -> Evaluator {
    use jit_policy::cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT};
    let engine = CedarEngine::new().unwrap();
    let facts = "    facts?: { ticket?: String, risk?: Long, change?: String },\n";
    let schema = BASE_SCHEMA.replacen("    recipient: Identity,\n", &format!("    recipient: Identity,\n{facts}"), 1);
    assert_ne!(schema, BASE_SCHEMA);
    let target =
        Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
    let path = FilePath::new("jit.cedarschema").unwrap();
    let files =
        [(path.clone(), schema.into_bytes()), (FilePath::new("rules.cedar").unwrap(), CEDAR.as_bytes().to_vec())];
    let bundle = PolicyBundle::new(target, Some(path), files).unwrap();
    Evaluator::new(engine.load(&bundle).unwrap_or_else(|error| panic!("{error}")))
}

#[cfg(feature = "rego")]
pub fn rego() -> Evaluator {
    use jit_policy::rego::{BASE_POLICY, ENTRYPOINT, LANGUAGE, RegoEngine};
    let engine = RegoEngine::new().unwrap();
    let target = Target {
        engine: engine.descriptor().name.clone(),
        language: Version::new(LANGUAGE).unwrap(),
        entrypoint: Code::new(ENTRYPOINT).unwrap(),
    };
    let files = [("base.rego", BASE_POLICY), ("rules.rego", REGO), ("data.json", DATA)];
    let files = files.map(|(path, text)| (FilePath::new(path).unwrap(), text.as_bytes().to_vec()));
    let bundle = PolicyBundle::new(target, None, files).unwrap();
    Evaluator::new(engine.load(&bundle).unwrap_or_else(|error| panic!("{error}")))
}
