//! Why a policy answers as it does, which rule was nearest, and what would have to be otherwise.

use std::{collections::BTreeSet, fmt, num::NonZeroU32};

use jit_core::{Action, Decision, Effect, Outcome, RuleId, Seconds};

use crate::{
    entity::{Attributes, Entity, EntityUid},
    evaluator::Evaluator,
    input::{CanonicalInput, InputParts},
};

/// The most groups that are tried.
const MAX_GROUPS: usize = 64;
/// The windows that are tried, in seconds, the longest first.
const WINDOWS: [i64; 12] = [2_592_000, 604_800, 86_400, 43_200, 28_800, 14_400, 7_200, 3_600, 1_800, 900, 300, 60];
/// The lengths of a justification that are tried, in bytes.
const LENGTHS: [i64; 8] = [1, 10, 20, 50, 100, 200, 500, 1_000];

/// Whether one thing that a rule asks for is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// Judging it fails.
    Failed,
    /// What stands before it is not so, and it cannot be judged without.
    NotReached,
}

/// What of a request a requirement is about. The first are what a request is for, so that a rule is the farther the earlier it
/// differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What is to be done.
    Action,
    /// On what.
    Resource,
    /// By whom.
    Principal,
    /// Under which circumstances.
    Condition,
}

/// One thing that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// What it is about.
    pub part: Part,
    /// As the policy says it.
    pub text: String,
    /// Whether it is so.
    pub met: Met,
    /// The groups that it wants somebody to be in.
    pub groups: BTreeSet<EntityUid>,
}

/// How one rule looks at one action of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleId,
    /// What it says when it applies.
    pub effect: Effect,
    /// The action.
    pub action: Action,
    /// What it asks for, in its order.
    pub requirements: Vec<Requirement>,
}

impl RuleExplanation {
    /// Whether the rule applies.
    #[must_use]
    pub fn applies(&self) -> bool {
        self.requirements.iter().all(|requirement| requirement.met == Met::Yes)
    }

    /// What keeps it from applying.
    pub fn unmet(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter().filter(|requirement| matches!(requirement.met, Met::No | Met::Failed))
    }
}

/// One thing that, changed alone, makes the policy permit. Each was tried on the policy itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suggestion {
    /// Ask for these actions only; each is permitted alone.
    OnlyActions(BTreeSet<Action>),
    /// Ask for no longer than this.
    NoLongerThan(Seconds),
    /// Give a justification of about so many bytes.
    JustificationOf(u32),
    /// Ask as an emergency.
    AsEmergency,
    /// Be in this group.
    InGroup(EntityUid),
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyActions(actions) => {
                let actions: Vec<&str> = actions.iter().map(Action::as_str).collect();
                write!(f, "ask for {} only", actions.join(", "))
            }
            Self::NoLongerThan(limit) => write!(f, "ask for no longer than {} s", limit.get()),
            Self::JustificationOf(bytes) => write!(f, "give a justification of {bytes} bytes or more"),
            Self::AsEmergency => f.write_str("ask as an emergency"),
            Self::InGroup(group) => write!(f, "be in {} {}", group.kind, group.id.as_str()),
        }
    }
}

/// Why a policy answers as it does.
///
/// It is for people, and no evidence: what is recorded is the [`Decision`] alone.
///
/// ```
/// # fn example(policy: &jit_policy::Evaluator, input: &jit_policy::CanonicalInput) {
/// use jit_policy::Explanation;
/// let explanation = Explanation::of(policy, input);
/// for rule in explanation.nearest() {
///     for requirement in rule.unmet() {
///         println!("{} would apply but for: {}", rule.rule, requirement.text);
///     }
/// }
/// for suggestion in &explanation.suggestions {
///     println!("it would be permitted if you {suggestion}");
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What the policy answers.
    pub decision: Decision,
    /// Whether it is denied all the same because it is asked for longer than the policy allows.
    pub too_long: bool,
    /// How every rule looks at every action, if the engine can say.
    pub rules: Vec<RuleExplanation>,
    /// What would help, each alone; none if it is permitted, or if no single change helps.
    pub suggestions: Vec<Suggestion>,
}

impl Explanation {
    /// Explains what a policy answers to an input.
    #[must_use]
    pub fn of(policy: &Evaluator, input: &CanonicalInput) -> Self {
        let decision = policy.evaluate(input);
        let too_long = is_too_long(&decision, input.parts());
        let rules = policy.explain(input);
        let mut explanation = Self { decision, too_long, rules, suggestions: Vec::new() };
        if !explanation.is_requestable() {
            explanation.suggestions = suggest(policy, input, &explanation);
        }
        explanation
    }

    /// Whether the request would be accepted, pending approvals and conditions.
    #[must_use]
    pub fn is_requestable(&self) -> bool {
        self.decision.permits() && !self.too_long
    }

    /// The forbidding rules that apply.
    pub fn forbidding(&self) -> impl Iterator<Item = &RuleExplanation> {
        self.rules.iter().filter(|rule| rule.effect == Effect::Forbid && rule.applies())
    }

    /// The permitting rules nearest to the request, for actions that no rule permits: those for its actions and its resource
    /// before others, and of these those with the fewest things in the way.
    #[must_use]
    pub fn nearest(&self) -> Vec<&RuleExplanation> {
        let permits = |rule: &&RuleExplanation| rule.effect == Effect::Permit;
        let permitted: BTreeSet<&Action> =
            self.rules.iter().filter(permits).filter(|r| r.applies()).map(|r| &r.action).collect();
        let open = self.rules.iter().filter(permits).filter(|rule| !permitted.contains(&rule.action));
        let differs = |rule: &RuleExplanation, part| rule.unmet().any(|requirement| requirement.part == part);
        let distance =
            |rule: &RuleExplanation| (differs(rule, Part::Action), differs(rule, Part::Resource), rule.unmet().count());
        let least = open.clone().map(distance).min();
        open.filter(|rule| Some(distance(rule)) == least).collect()
    }
}

fn is_too_long(decision: &Decision, parts: &InputParts) -> bool {
    let limit = decision.obligations.max_duration();
    decision.permits() && limit.is_some_and(|limit| parts.context.requested_duration > i64::from(limit.get()))
}

fn suggest(policy: &Evaluator, input: &CanonicalInput, explanation: &Explanation) -> Vec<Suggestion> {
    let helps = |change: &dyn Fn(&mut InputParts)| {
        let mut parts = input.parts().clone();
        change(&mut parts);
        CanonicalInput::new(parts).is_ok_and(|changed| {
            let decision = policy.evaluate(&changed);
            decision.permits() && !is_too_long(&decision, changed.parts())
        })
    };
    let parts = input.parts();
    let mut suggestions = Vec::new();
    if parts.actions.len() > 1 {
        let alone = |action: &&Action| helps(&|parts| parts.actions = BTreeSet::from([(*action).clone()]));
        let alone: BTreeSet<Action> = parts.actions.iter().filter(alone).cloned().collect();
        suggestions.extend((!alone.is_empty()).then_some(Suggestion::OnlyActions(alone)));
    }
    let asked = parts.context.requested_duration;
    let limit = explanation.decision.obligations.max_duration().map(|limit| i64::from(limit.get()));
    let mut shorter = limit.into_iter().chain(WINDOWS).filter(|window| *window < asked);
    let window = shorter.find(|window| {
        helps(&|parts| {
            parts.context.requested_duration = *window;
            parts.context.requested_end = parts.context.requested_start.saturating_add(*window);
        })
    });
    let window = window.and_then(|window| NonZeroU32::new(u32::try_from(window).ok()?));
    suggestions.extend(window.map(|window| Suggestion::NoLongerThan(Seconds::new(window))));
    let length = parts.context.justification_length;
    let longer = LENGTHS.into_iter().filter(|more| *more > length);
    let longer = longer.into_iter().find(|more| helps(&|parts| parts.context.justification_length = *more));
    suggestions.extend(longer.and_then(|more| u32::try_from(more).ok()).map(Suggestion::JustificationOf));
    if !parts.context.break_glass && helps(&|parts| parts.context.break_glass = true) {
        suggestions.push(Suggestion::AsEmergency);
    }
    let groups = explanation.rules.iter().filter(|rule| rule.effect == Effect::Permit);
    let groups: BTreeSet<&EntityUid> =
        groups.flat_map(|r| r.unmet()).flat_map(|r| &r.groups).take(MAX_GROUPS).collect();
    for group in groups {
        if helps(&|parts| put_in(parts, group)) {
            suggestions.push(Suggestion::InGroup(group.clone()));
        }
    }
    suggestions
}

/// Puts whoever asks into a group.
fn put_in(parts: &mut InputParts, group: &EntityUid) {
    let subject = parts.subject.clone();
    for entity in parts.entities.iter_mut().filter(|entity| entity.uid == subject) {
        entity.parents.insert(group.clone());
    }
    if let Err(at) = parts.entities.binary_search_by(|entity| entity.uid.cmp(group)) {
        let entity = Entity { uid: group.clone(), attrs: Attributes::default(), parents: BTreeSet::new() };
        parts.entities.insert(at, entity);
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![match (self.decision.outcome, self.too_long) {
            (Outcome::Permit, false) => "permitted".to_owned(),
            (Outcome::Permit, true) => "denied: asked for longer than the policy allows".to_owned(),
            (Outcome::Deny, _) => "denied".to_owned(),
            (Outcome::Indeterminate, _) => "not decidable, and so denied".to_owned(),
        }];
        lines.extend(self.decision.determining.iter().map(|d| match d.effect {
            Effect::Permit => format!("rule {} permits it", d.rule),
            Effect::Forbid => format!("rule {} forbids it", d.rule),
        }));
        lines.extend(self.decision.errors.iter().map(|error| match &error.rule {
            Some(rule) => format!("error {} in rule {rule}", error.code),
            None => format!("error {}", error.code),
        }));
        if !self.is_requestable() {
            for rule in self.nearest() {
                lines.push(format!("nearest to permitting {}: rule {}, but for", rule.action.as_str(), rule.rule));
                lines.extend(rule.unmet().map(|requirement| match requirement.met {
                    Met::Failed => format!("  {} (fails)", requirement.text),
                    _ => format!("  {}", requirement.text),
                }));
            }
        }
        lines.extend(self.suggestions.iter().map(|suggestion| format!("would be permitted: {suggestion}")));
        f.write_str(&lines.join("\n"))
    }
}
