//! The Cedar adapter: strict at load, so that evaluation cannot surprise.
//!
//! | in the input | in Cedar |
//! |---|---|
//! | an entity of type `human`, `workload`, `agent`, `service`, `group`, `resource`, `identity` | `Jit::Human`, `Jit::Workload`, … |
//! | an entity of any other type `on_call_team` | `Jit::OnCallTeam` |
//! | an action `read` | `Jit::Action::"read"` |
//! | `context` | the Cedar context: `now`, `requested_start` and `requested_end` are seconds since 1970 (`Long`), entities are references |
//! | `facts` | `context.facts.<name>`, the value alone |
//!
//! Cedar has no clock of its own, so a decision depends on its input alone. A rule is named by its `@id`; positional ids would
//! point evidence at the wrong rule as soon as one is inserted. Obligations are annotations of `permit` rules; any other
//! `@jit_…` does not load:
//!
//! | annotation | demands |
//! |---|---|
//! | `@jit_approvals("sre:1,dba:2")` | approvals of so many of each group |
//! | `@jit_max_duration("1h30m")` | no longer window |
//! | `@jit_requires("mfa, session_recording at target")` | conditions: `mfa`, `managed_device`, `session_recording`, or one of your own that begins with `x_` |
//! | `@jit_source_address("10.0.0.0/8 at issuer")` | access from these networks only |
//! | `@jit_notify("sre-leads")` | that these groups are told |
//! | `@jit_post_review("24h")` | a review within this time after the window |
//!
//! Who enforces a condition stands after `at`: `broker`, `issuer`, `target`, or `advisory` for nobody.

mod annotations;
mod explain;
mod lint;
mod load;
mod nesting;
mod request;
mod vocabulary;

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::{Authorizer, Decision as CedarDecision, PolicySet, Response};
use jit_core::{Code, DeterminingRule, Effect, Engine, EvaluationError, RuleId, TextError, Version, code};

pub use nesting::MAX_OPERATORS;

use self::{request::Asked, vocabulary::Vocabulary};
use crate::{
    bundle::PolicyBundle,
    engine::{LoadError, PolicyEngine, PolicySnapshot, RawEvaluation, RawObligation, RuleForm},
    explain::RuleExplanation,
    input::CanonicalInput,
    snapshot::SnapshotDocument,
};

/// A schema for the entities of this adapter, to start from: declare your actions and attributes in a copy of it.
pub const BASE_SCHEMA: &str = include_str!("base.cedarschema");

/// What each entity of the input adds to the stack, in bytes: Cedar follows a chain of parents by calling itself.
const ENTITY_STACK: usize = 16 << 10;

/// What a bundle asks of Cedar.
pub const ENTRYPOINT: Code = code!("is_authorized");

/// The Cedar engine.
///
/// ```
/// use jit_policy::cedar::CedarEngine;
/// use jit_policy::PolicyEngine;
/// assert_eq!(CedarEngine::new()?.descriptor().name.as_str(), "cedar");
/// # Ok::<(), jit_core::TextError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CedarEngine {
    descriptor: Engine,
}

impl CedarEngine {
    /// The engine that this crate was built with.
    ///
    /// # Errors
    /// [`TextError`] if the engine's version were not printable.
    pub fn new() -> Result<Self, TextError> {
        Ok(Self {
            descriptor: Engine {
                name: code!("cedar"),
                version: Version::new(cedar_policy::get_sdk_version().to_string())?,
                language: Version::new(cedar_policy::get_lang_version().to_string())?,
                adapter: Version::new(env!("CARGO_PKG_VERSION"))?,
            },
        })
    }
}

impl CedarEngine {
    /// Whether a bundle is for this engine and its language.
    fn check_target(&self, bundle: &PolicyBundle) -> Result<(), LoadError> {
        let target = bundle.target();
        let spoken = target.engine == self.descriptor.name && target.language == self.descriptor.language;
        if spoken && target.entrypoint == ENTRYPOINT {
            return Ok(());
        }
        Err(LoadError::OtherEngine {
            want: format!("{} {}, {}", target.engine, target.language, target.entrypoint),
            have: format!("{} {}, {ENTRYPOINT}", self.descriptor.name, self.descriptor.language),
        })
    }
}

impl PolicyEngine for CedarEngine {
    fn descriptor(&self) -> &Engine {
        &self.descriptor
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        self.check_target(bundle)?;
        let loaded = load::on_own_stack(bundle, |loaded| loaded)?;
        let rules = loaded.rules.keys().cloned().collect();
        let document = SnapshotDocument::new(bundle.clone(), &rules)?;
        Ok(Arc::new(CedarSnapshot {
            engine: self.descriptor.clone(),
            document,
            vocabulary: Vocabulary::of(loaded.schema)?,
            policies: loaded.policies,
            rules: loaded.rules,
            stack: loaded.stack,
        }))
    }
}

/// One rule as loaded.
struct Rule {
    effect: Effect,
    obligations: Vec<RawObligation>,
    source: String,
    condition: String,
}

struct CedarSnapshot {
    engine: Engine,
    document: SnapshotDocument,
    vocabulary: Vocabulary,
    policies: PolicySet,
    rules: BTreeMap<RuleId, Rule>,
    /// The stack that its rules may take, in bytes.
    stack: usize,
}

impl PolicySnapshot for CedarSnapshot {
    fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        self.with_stack(input, || self.evaluate_here(input))
    }

    fn explain(&self, input: &CanonicalInput) -> Vec<RuleExplanation> {
        self.with_stack(input, || self.explain_here(input))
    }

    fn rule(&self, rule: &RuleId) -> Option<RuleForm> {
        let Rule { effect, obligations, source, condition } = self.rules.get(rule)?;
        let (source, condition, obligations) = (source.clone(), condition.clone(), obligations.clone());
        Some(RuleForm { effect: *effect, source, condition, obligations })
    }
}

impl CedarSnapshot {
    /// Cedar gives up, and so denies, when little stack is left. There is always more than the deepest rule and the longest chain of
    /// parents take, the caller's where it suffices, so that a decision depends on no caller.
    fn with_stack<R>(&self, input: &CanonicalInput, run: impl FnOnce() -> R) -> R {
        let needed = input.parts().entities.len().saturating_mul(ENTITY_STACK).saturating_add(self.stack);
        stacker::maybe_grow(needed, needed, run)
    }

    fn evaluate_here(&self, input: &CanonicalInput) -> RawEvaluation {
        let asked = match Asked::of(input, &self.vocabulary) {
            Ok(asked) => asked,
            Err(code) => return RawEvaluation::failed(code),
        };
        let mut found: Option<RawEvaluation> = None;
        for action in &input.parts().actions {
            let request = match asked.request(action) {
                Ok(request) => request,
                Err(code) => return RawEvaluation::failed(code),
            };
            let response = Authorizer::new().is_authorized(&request, &self.policies, &asked.entities);
            let one = self.found(&response);
            found = Some(match found {
                Some(all) => all.and(one),
                None => one,
            });
        }
        found.unwrap_or_default()
    }

    /// What Cedar said about one action.
    fn found(&self, response: &Response) -> RawEvaluation {
        let mut found =
            RawEvaluation { permitted: response.decision() == CedarDecision::Allow, ..RawEvaluation::default() };
        for id in response.diagnostics().reason() {
            let known = RuleId::new(AsRef::<str>::as_ref(id)).ok().and_then(|rule| self.rules.get_key_value(&rule));
            match known {
                Some((rule, known)) => {
                    found.determining.push(DeterminingRule::new(rule.clone(), known.effect));
                    found.obligations.extend(known.obligations.iter().cloned());
                }
                None => found.errors.push(EvaluationError { code: code!("unknown_rule"), rule: None }),
            }
        }
        // A forbid that errors is skipped by Cedar, which would fail open: any error makes the whole indeterminate.
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            let rule = RuleId::new(AsRef::<str>::as_ref(error.policy_id())).ok();
            found.errors.push(EvaluationError { code: code!("rule_error"), rule });
        }
        found
    }
}
