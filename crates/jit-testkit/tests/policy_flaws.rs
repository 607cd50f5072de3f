//! The conformance suite of policy engines passes what is right and catches each mistake, by the case that is there for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

use std::{
    cell::Cell,
    collections::BTreeSet,
    num::{NonZeroU16, NonZeroU32},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use jit_core::{
    canonical::{self, Value},
    *,
};
use jit_policy::*;
use jit_testkit::conformance::policy::{PolicyFactory, Sample, cases, processes_agree, run_all, run_case};

/// What an engine gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Right,
    NamesNoRule,
    NamesAllRules,
    ForgetsDemands,
    PermitsByDefault,
    IgnoresForbid,
    ForbidsWithDemands,
    FirstActionOnly,
    AnyActionSuffices,
    FirstRulesDemands,
    DirectMembersOnly,
    EverybodyIsMember,
    PathsAreTexts,
    ExactPathsOnly,
    OwnClock,
    InventsRules,
    SkipsErrors,
    DropsUnknownDemands,
    PanicsAtStrangeTypes,
    ReadsStrangeAttributes,
    CountsCalls,
    OrderOfMembers,
    ShortWays,
    FirstPersonOnly,
    PerThread,
    PerProcess,
    WantsStack,
    AnotherAdapter,
    ChangesTexts,
    ListsHalfOfItsRules,
    LastLoadedWins,
    RulesByPath,
    AcceptsRepeatedIds,
    AcceptsNoRule,
    AcceptsEveryText,
    AcceptsOtherEngines,
    RefusesInOtherWords,
}
use Flaw::*;

/// Each mistake with the case that is there for it.
const CAUGHT: [(Flaw, &str); 38] = [
    (NamesNoRule, "a_permit_names_its_rule_and_its_demands"),
    (NamesAllRules, "a_permit_names_its_rule_and_its_demands"),
    (ForgetsDemands, "a_permit_names_its_rule_and_its_demands"),
    (PermitsByDefault, "what_no_rule_permits_is_denied"),
    (IgnoresForbid, "a_forbid_wins_and_demands_nothing"),
    (ForbidsWithDemands, "a_forbid_wins_and_demands_nothing"),
    (FirstActionOnly, "every_action_must_be_permitted"),
    (AnyActionSuffices, "every_action_must_be_permitted"),
    (FirstRulesDemands, "demands_of_several_actions_are_merged"),
    (DirectMembersOnly, "membership_is_not_only_direct"),
    (EverybodyIsMember, "membership_is_not_only_direct"),
    (PathsAreTexts, "a_resource_stands_for_what_is_below_it_only"),
    (ExactPathsOnly, "a_resource_stands_for_what_is_below_it_only"),
    (OwnClock, "the_clock_is_that_of_the_input"),
    (InventsRules, "nothing_is_permitted_without_a_rule"),
    (SkipsErrors, "a_rule_that_fails_denies"),
    (DropsUnknownDemands, "an_unknown_demand_denies"),
    (PanicsAtStrangeTypes, "strange_inputs_are_decided"),
    (ReadsStrangeAttributes, "strange_inputs_are_decided"),
    (ShortWays, "large_inputs_are_decided"),
    (CountsCalls, "the_same_input_is_the_same_decision"),
    (OrderOfMembers, "the_order_of_what_was_gathered_changes_nothing"),
    (FirstPersonOnly, "what_is_unrelated_changes_nothing"),
    (PerThread, "many_threads_decide_the_same"),
    (WantsStack, "a_small_stack_is_enough"),
    (AnotherAdapter, "a_decision_replays_identically"),
    (CountsCalls, "a_decision_replays_identically"),
    (RulesByPath, "what_was_tampered_with_does_not_replay"),
    (ChangesTexts, "a_snapshot_is_its_bundle"),
    (ListsHalfOfItsRules, "a_snapshot_is_its_bundle"),
    (LastLoadedWins, "what_is_loaded_is_what_is_evaluated"),
    (RulesByPath, "what_is_loaded_is_what_is_evaluated"),
    (AnotherAdapter, "the_engine_is_the_one_described"),
    (AcceptsRepeatedIds, "what_is_wrong_does_not_load"),
    (AcceptsNoRule, "what_is_wrong_does_not_load"),
    (AcceptsEveryText, "what_is_wrong_does_not_load"),
    (AcceptsOtherEngines, "what_is_for_another_engine_does_not_load"),
    (RefusesInOtherWords, "what_is_for_another_engine_does_not_load"),
];

/// `permit id action resource group before demand…`, where `-` is anything; `forbid id resource`; `broken id`.
#[derive(Debug, Clone)]
enum Line {
    Permit { id: RuleId, action: String, resource: String, group: String, before: i64, demands: Vec<String> },
    Forbid { id: RuleId, resource: String },
    Broken { id: RuleId },
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let id = RuleId::new(*words.get(1)?).ok()?;
        Some(match (words[0], &words[2..]) {
            ("permit", [action, resource, group, before, demands @ ..]) => Self::Permit {
                id,
                action: (*action).to_owned(),
                resource: (*resource).to_owned(),
                group: (*group).to_owned(),
                before: before.parse().unwrap_or(i64::MAX),
                demands: demands.iter().map(|d| (*d).to_owned()).collect(),
            },
            ("forbid", [resource]) => Self::Forbid { id, resource: (*resource).to_owned() },
            ("broken", []) => Self::Broken { id },
            _ => return None,
        })
    }

    fn id(&self) -> &RuleId {
        match self {
            Self::Permit { id, .. } | Self::Forbid { id, .. } | Self::Broken { id } => id,
        }
    }
}

fn demand(text: &str) -> RawObligation {
    let (kind, value) = text.split_once('=').unwrap();
    let properties = match kind {
        "approvals" => {
            let count = |part: &str| {
                let (group, count) = part.split_once(':').unwrap();
                let count: NonZeroU16 = count.parse().unwrap();
                GroupCount { group: GroupName::new(group).unwrap(), count }
            };
            canonical::to_value(&value.split(',').map(count).collect::<Vec<_>>()).unwrap()
        }
        "max_duration" => canonical::to_value(&value.parse::<NonZeroU32>().unwrap()).unwrap(),
        _ => Value::text(value).unwrap(),
    };
    RawObligation { kind: Code::new(kind).unwrap(), properties }
}

/// An engine for these lines, with a mistake.
struct Toy {
    flaw: Flaw,
    descriptor: Engine,
    last: Arc<Mutex<Vec<Line>>>,
}

struct ToySnapshot {
    flaw: Flaw,
    engine: Engine,
    document: SnapshotDocument,
    rules: Vec<Line>,
    last: Arc<Mutex<Vec<Line>>>,
    calls: AtomicU32,
}

/// What was loaded first from a path, as a cache keeps it.
static BY_PATH: Mutex<Option<Vec<Line>>> = Mutex::new(None);

thread_local! {
    static DECIDED_HERE: Cell<u32> = const { Cell::new(0) };
}

impl Toy {
    fn new(flaw: Flaw) -> Self {
        let version = |v: &str| Version::new(v).unwrap();
        let descriptor =
            Engine { name: code!("toy"), version: version("1"), language: version("1"), adapter: version("1") };
        Self { flaw, descriptor, last: Arc::default() }
    }
}

impl PolicyEngine for Toy {
    fn descriptor(&self) -> &Engine {
        &self.descriptor
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        let target = bundle.target();
        let mine = target.engine == code!("toy") && target.language == self.descriptor.language;
        if !(mine && target.entrypoint == code!("decide")) && self.flaw != AcceptsOtherEngines {
            return Err(match self.flaw {
                RefusesInOtherWords => LoadError::NoRule,
                _ => LoadError::OtherEngine { want: target.engine.to_string(), have: "toy".to_owned() },
            });
        }
        let mut rules: Vec<Line> = Vec::new();
        for (path, bytes) in bundle.files() {
            for line in std::str::from_utf8(bytes).unwrap().lines().filter(|line| !line.is_empty()) {
                match Line::parse(line) {
                    Some(rule) if self.flaw != AcceptsRepeatedIds && rules.iter().any(|r| r.id() == rule.id()) => {
                        return Err(LoadError::RepeatedRuleId(rule.id().clone()));
                    }
                    Some(rule) => rules.push(rule),
                    None if self.flaw == AcceptsEveryText => {}
                    None => return Err(LoadError::Parse { path: path.clone(), reason: line.to_owned() }),
                }
            }
        }
        if rules.is_empty() && !matches!(self.flaw, AcceptsNoRule | AcceptsEveryText) {
            return Err(LoadError::NoRule);
        }
        if self.flaw == RulesByPath {
            rules = BY_PATH.lock().unwrap().get_or_insert(rules).clone();
        }
        *self.last.lock().unwrap() = rules.clone();
        let bundle = if self.flaw == ChangesTexts {
            let tidy = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim().as_bytes().to_vec();
            let files = bundle.files().map(|(path, bytes)| (path.clone(), tidy(bytes)));
            PolicyBundle::new(target.clone(), None, files)?
        } else {
            bundle.clone()
        };
        let mut ids: BTreeSet<RuleId> = rules.iter().map(|rule| rule.id().clone()).collect();
        if self.flaw == ListsHalfOfItsRules {
            ids.pop_first();
        }
        let mut engine = self.descriptor.clone();
        if self.flaw == AnotherAdapter {
            engine.adapter = Version::new("2").unwrap();
        }
        Ok(Arc::new(ToySnapshot {
            flaw: self.flaw,
            engine,
            document: SnapshotDocument::new(bundle, &ids)?,
            rules,
            last: Arc::clone(&self.last),
            calls: AtomicU32::new(0),
        }))
    }
}

impl PolicySnapshot for ToySnapshot {
    fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let here = DECIDED_HERE.replace(DECIDED_HERE.get() + 1);
        let strange = || input.parts().entities.iter().any(|entity| entity.uid.kind.as_str() == "spaceship");
        match self.flaw {
            CountsCalls if call % 7 == 6 => return RawEvaluation::failed(code!("tired")),
            PerThread if here > 0 && thread::current().name().is_none() => return RawEvaluation::failed(code!("warm")),
            PerProcess => return RawEvaluation::failed(Code::new(format!("pid{}", std::process::id())).unwrap()),
            WantsStack if thread::current().name().is_none() => return RawEvaluation::failed(code!("no_stack")),
            PanicsAtStrangeTypes if strange() => panic!("what is a spaceship?"),
            _ => {}
        }
        let rules = if self.flaw == LastLoadedWins { self.last.lock().unwrap().clone() } else { self.rules.clone() };
        let mut actions: Vec<RawEvaluation> =
            input.parts().actions.iter().map(|action| self.one(&rules, input, action)).collect();
        match self.flaw {
            FirstActionOnly => actions.truncate(1),
            AnyActionSuffices => {
                let any: Vec<_> = actions.iter().filter(|one| one.permitted).cloned().collect();
                actions = if any.is_empty() { actions } else { any };
            }
            FirstRulesDemands => actions.iter_mut().skip(1).for_each(|one| one.obligations.clear()),
            _ => {}
        }
        actions.into_iter().reduce(RawEvaluation::and).unwrap()
    }
}

impl ToySnapshot {
    fn one(&self, rules: &[Line], input: &CanonicalInput, action: &Action) -> RawEvaluation {
        let mut permits = RawEvaluation { permitted: true, ..RawEvaluation::default() };
        let mut forbids = RawEvaluation::default();
        for rule in rules {
            match rule {
                Line::Permit { id, action: on, resource, group, before, demands } => {
                    let asked = on == action.as_str() && self.covers(resource, input) && self.member(group, input);
                    if asked && (self.flaw == OwnClock || input.parts().context.now < *before) {
                        permits.determining.push(DeterminingRule::new(id.clone(), Effect::Permit));
                        permits.obligations.extend(demands.iter().map(|text| demand(text)));
                    }
                }
                Line::Forbid { id, resource } if self.flaw != IgnoresForbid && self.covers(resource, input) => {
                    forbids.determining.push(DeterminingRule::new(id.clone(), Effect::Forbid));
                }
                Line::Broken { id } if self.flaw != SkipsErrors => {
                    permits.errors.push(EvaluationError { code: code!("broken"), rule: Some(id.clone()) });
                }
                _ => {}
            }
        }
        if !forbids.determining.is_empty() {
            if self.flaw == ForbidsWithDemands {
                forbids.determining.extend(permits.determining);
            }
            return RawEvaluation { errors: permits.errors, ..forbids };
        }
        match self.flaw {
            NamesNoRule => permits.determining.clear(),
            NamesAllRules if !permits.determining.is_empty() => permits
                .determining
                .extend(rules.iter().map(|rule| DeterminingRule::new(rule.id().clone(), Effect::Permit))),
            InventsRules if !permits.determining.is_empty() => {
                permits.determining = vec![DeterminingRule::new(RuleId::new("rule-1").unwrap(), Effect::Permit)];
            }
            ForgetsDemands => permits.obligations.clear(),
            DropsUnknownDemands => permits.obligations.retain(|o| o.kind != code!("dance")),
            PermitsByDefault if permits.determining.is_empty() => {
                let id = rules[0].id().clone();
                permits.determining.push(DeterminingRule::new(id, Effect::Permit));
            }
            _ => {}
        }
        permits.permitted = !permits.determining.is_empty() || self.flaw == NamesNoRule;
        permits
    }

    fn covers(&self, resource: &str, input: &CanonicalInput) -> bool {
        let asked = input.parts().resource.id.as_str();
        resource == "-"
            || match self.flaw {
                PathsAreTexts => asked.starts_with(resource),
                ExactPathsOnly => asked == resource,
                _ => asked.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            }
    }

    fn member(&self, group: &str, input: &CanonicalInput) -> bool {
        let parts = input.parts();
        let sought = EntityUid::new("group", group).ok();
        let Some(sought) = sought.filter(|_| group != "-") else { return true };
        if self.flaw == EverybodyIsMember {
            return parts.subject.id.as_str() != "idp|mallory";
        }
        let misled = |entity: &Entity| entity.attrs.as_object().get("within").is_some();
        if self.flaw == ReadsStrangeAttributes && parts.entities.iter().any(misled) {
            return false;
        }
        if self.flaw == OrderOfMembers && parts.entities.iter().filter(|e| e.uid.kind.as_str() == "group").count() > 2 {
            return self.calls.load(Ordering::SeqCst) % 2 == 1;
        }
        let subject = match self.flaw {
            FirstPersonOnly => parts.entities.iter().find(|e| e.uid.kind.as_str() == "human").map(|e| &e.uid),
            _ => Some(&parts.subject),
        };
        let mut open: Vec<EntityUid> = subject.into_iter().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(uid) = open.pop() {
            if uid == sought {
                return true;
            }
            let from_subject = uid == parts.subject;
            if !seen.insert(uid.clone()) || (self.flaw == DirectMembersOnly && !from_subject) {
                continue;
            }
            if self.flaw == ShortWays && seen.len() > 300 {
                panic!("a way that long");
            }
            open.extend(parts.entities.iter().filter(|e| e.uid == uid).flat_map(|e| e.parents.iter().cloned()));
        }
        false
    }
}

const READ: &str = "permit read read db:prod oncall - approvals=sre:1 max_duration=14400";
const OTHERS: &str = "permit write write db:prod oncall - approvals=sre:2,dba:1 max_duration=3600\n\
                      forbid never db:prod/payroll\npermit early admin - - 1893456000\n";

impl PolicyFactory for Flaw {
    fn engine(&self) -> Arc<dyn PolicyEngine> {
        Arc::new(Toy::new(*self))
    }

    fn bundle(&self, sample: Sample) -> PolicyBundle {
        let (a, b) = match sample {
            Sample::Access => (READ.to_owned(), OTHERS),
            Sample::Stricter => (READ.replace("sre", "ops").replace("14400", "60"), OTHERS),
            Sample::Failing => (READ.to_owned(), "broken broken"),
            Sample::UnknownObligation => (format!("{READ} dance=tango"), ""),
            Sample::RepeatedId => (READ.to_owned(), READ),
            Sample::NoRule => (String::new(), ""),
            Sample::Unreadable => ("permit".to_owned(), ""),
            other => panic!("{other:?} is new"),
        };
        let target = Target { engine: code!("toy"), language: Version::new("1").unwrap(), entrypoint: code!("decide") };
        let files = [("a.toy", a.into_bytes()), ("b.toy", b.as_bytes().to_vec())];
        PolicyBundle::new(target, None, files.map(|(path, bytes)| (FilePath::new(path).unwrap(), bytes))).unwrap()
    }
}

#[tokio::test]
async fn what_is_right_passes() {
    run_all(Flaw::Right).await.unwrap();
}

#[tokio::test]
async fn each_mistake_is_caught_by_its_case() {
    let mut passed = Vec::new();
    for (flaw, case) in CAUGHT {
        match run_case(flaw, case).await {
            Ok(()) => passed.push((flaw, case)),
            Err(failure) => assert_eq!(failure.case, case),
        }
    }
    assert_eq!(passed, [], "mistakes that were not seen");
}

#[test]
fn processes_that_decide_the_same_pass() {
    let name = concat!(module_path!(), "::processes_that_decide_the_same_pass");
    assert_eq!(processes_agree(Flaw::Right, name), Ok(()));
}

#[test]
fn processes_that_decide_otherwise_are_caught() {
    let name = concat!(module_path!(), "::processes_that_decide_otherwise_are_caught");
    let wrong = processes_agree(PerProcess, name);
    // The other process only prints.
    if std::env::var_os("JIT_POLICY_CONFORMANCE_PRINT").is_none() {
        assert_eq!(wrong.unwrap_err().case, "decisions_are_the_same_in_fresh_processes");
    }
}

#[test]
fn every_case_has_a_mistake() {
    let caught: BTreeSet<&str> = CAUGHT.iter().map(|(_, case)| *case).collect();
    // What is not available makes the evaluator deny, whatever the engine says.
    for case in cases().iter().filter(|case| case.name() != "what_is_unavailable_denies") {
        assert!(caught.contains(case.name()), "no mistake shows that {} can fail", case.name());
    }
    for point in ["1", "2", "3"] {
        assert!(
            cases().iter().any(|case| case.contract().split(", ").any(|p| p == point)),
            "no case for point {point}"
        );
    }
}
