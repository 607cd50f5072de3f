//! The Rego adapter, by regorus: fenced at load, so that the same input is the same decision in every process.
//!
//! A bundle has policies (`*.rego`, in the syntax of OPA 1) and data (`data.json`; `teams/data.json` is `data.teams`). What is
//! asked of it is `data.jit.decision`:
//!
//! ```json
//! {"effect": "permit", "rules": [{"id": "prod-db-read"}], "obligations": [{"type": "max_duration", "properties": 14400}]}
//! ```
//!
//! `effect` is `permit` or `deny`. Obligations have the types and properties of [`jit_core::Obligation`]. [`BASE_POLICY`] makes the
//! decision out of two sets, `permit` and `forbid`, and has functions for obligations. A rule is named by its metadata, and names
//! itself:
//!
//! ```rego
//! package jit
//!
//! # METADATA
//! # labels:
//! #   id: prod-db-read
//! permit contains {"id": "prod-db-read", "obligations": [approvals({"sre": 1}), max_duration(14400)]} if {
//!     input.action == "read"
//!     "oncall" in input.subject.within.group
//!     "database:prod" in input.resource.within.resource
//! }
//! ```
//!
//! | `input` | is |
//! |---|---|
//! | `subject`, `resource` | `{"type","id","attrs","within"}`: `within` is what the entity is in, itself included, ids by type |
//! | `action` | one action; each of a request is decided, and all must be permitted |
//! | `context` | `now`, `requested_start` and `requested_end` in seconds since 1970, `requested_duration`, `purpose`, `justification_length`, `break_glass`, `delegation_depth`; `recipient` and, of an agent, `on_behalf_of` as `subject`; `judging` (`requester` as `subject`, `actions`, `owner`, `group`) when it is about who may approve or review |
//! | `entities` | `{type: {id: {"attrs","parents"}}}` |
//! | `facts` | `{name: value}` |
//!
//! # What does not load
//!
//! Functions that are not on a list of those that depend on their arguments alone: no clock, no randomness, no network, no
//! environment, no patterns and time zones, whose tables change. Numbers that are not integers. Functions that call themselves.
//! Brackets nested deeper than [`MAX_NESTING`], more rules than [`MAX_RULES`], more text than [`MAX_POLICY_BYTES`]. Data that lies
//! where a package is. A name that is used twice, stands above no rule, or is not in the rule below it.
//!
//! # What is indeterminate, and so denies
//!
//! | code | when |
//! |---|---|
//! | `decision_undefined` | no rule makes `data.jit.decision` for this input |
//! | `decision_value` | it has a float, `null`, an integer beyond 2⁵³, or a key that is no string |
//! | `decision_shape` | it is not of the form above |
//! | `rule_not_evaluated` | it names a rule of which no line was evaluated |
//! | `unknown_rule` | it names a rule that is none |
//! | `evaluation_error` | a function failed, rules conflict, or a rule needs itself |
//! | `step_limit` | it takes more than [`MAX_STEPS`] steps |

mod answer;
mod document;
mod fence;
mod load;
mod metadata;
mod nesting;
mod steps;

use std::sync::Arc;

use jit_core::{Action, Code, Engine, RuleId, RuleSite, TextError, Version, code};
use regorus::{LimitError, coverage::Report};

pub use document::input_document;
pub use nesting::MAX_NESTING;
pub use steps::MAX_STEPS;

use crate::{
    bundle::PolicyBundle,
    engine::{LoadError, PolicyEngine, PolicySnapshot, RawEvaluation},
    input::CanonicalInput,
    snapshot::SnapshotDocument,
};

/// A policy that makes decisions out of the sets `permit` and `forbid`, to put beside your own as `base.rego`.
pub const BASE_POLICY: &str = include_str!("base.rego");

/// What is asked of a bundle.
pub const ENTRYPOINT: &str = "data.jit.decision";

/// The version of the language: Rego as of OPA 1.
pub const LANGUAGE: &str = "1";

/// All policy texts of a bundle together, in bytes. Data counts for the bundle alone.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;

/// The most rules, whether they have names or not.
pub const MAX_RULES: usize = 4096;

/// The version of regorus, which is pinned.
const VERSION: &str = "0.14.1";

/// The engine regorus.
///
/// ```
/// use jit_core::{Code, Version};
/// use jit_policy::{FilePath, PolicyBundle, PolicyEngine, Target, rego::{BASE_POLICY, ENTRYPOINT, LANGUAGE, RegoEngine}};
/// let rules = r#"package jit
///
/// ## METADATA
/// ## labels:
/// ##   id: read
/// permit contains {"id": "read", "obligations": [max_duration(3600)]} if input.action == "read"
/// "#;
/// let engine = RegoEngine::new()?;
/// let target = Target { engine: engine.descriptor().name.clone(), language: Version::new(LANGUAGE)?, entrypoint: Code::new(ENTRYPOINT)? };
/// let files = [("base.rego", BASE_POLICY), ("rules.rego", rules)];
/// let files = files.map(|(path, text)| (FilePath::new(path).unwrap(), text.as_bytes().to_vec()));
/// let snapshot = engine.load(&PolicyBundle::new(target, None, files)?)?;
/// assert_eq!(snapshot.document().manifest().rules().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RegoEngine {
    descriptor: Engine,
}

impl RegoEngine {
    /// The engine that this crate was built with.
    ///
    /// # Errors
    /// [`TextError`] if a version were not printable.
    pub fn new() -> Result<Self, TextError> {
        Ok(Self {
            descriptor: Engine {
                name: code!("regorus"),
                version: Version::new(VERSION)?,
                language: Version::new(LANGUAGE)?,
                adapter: Version::new(env!("CARGO_PKG_VERSION"))?,
            },
        })
    }
}

impl PolicyEngine for RegoEngine {
    fn descriptor(&self) -> &Engine {
        &self.descriptor
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        let target = bundle.target();
        let spoken = target.engine == self.descriptor.name && target.language == self.descriptor.language;
        if !spoken || target.entrypoint.as_str() != ENTRYPOINT {
            return Err(LoadError::OtherEngine {
                want: format!("{} {}, {}", target.engine, target.language, target.entrypoint),
                have: format!("{} {}, {ENTRYPOINT}", self.descriptor.name, self.descriptor.language),
            });
        }
        let loaded = stacker::grow(load::loading_stack(bundle), || load::load(bundle))?;
        let rules = loaded.rules.keys().cloned().collect();
        let document = SnapshotDocument::new(bundle.clone(), &rules)?;
        Ok(Arc::new(RegoSnapshot { engine: self.descriptor.clone(), document, loaded }))
    }
}

struct RegoSnapshot {
    engine: Engine,
    document: SnapshotDocument,
    loaded: load::Loaded,
}

impl PolicySnapshot for RegoSnapshot {
    fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A stack of its own, as large as the deepest that the rules can go, whatever the caller has left.
    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        stacker::grow(self.loaded.stack, || {
            let actions = input.parts().actions.iter().map(|action| self.evaluate_one(input, action));
            actions.reduce(RawEvaluation::and).unwrap_or_default()
        })
    }
}

impl RegoSnapshot {
    fn evaluate_one(&self, input: &CanonicalInput, action: &Action) -> RawEvaluation {
        let document = match document::document(input, action) {
            Ok(document) => document,
            Err(code) => return RawEvaluation::failed(code),
        };
        let mut engine = self.loaded.engine.clone();
        engine.set_input(document);
        steps::begin();
        let evaluated = engine.eval_rule(ENTRYPOINT.to_string());
        match evaluated.and_then(|answer| Ok((answer, engine.get_coverage_report()?))) {
            Ok((answer, coverage)) => answer::read(self, &answer, &coverage),
            Err(error) if error.is::<LimitError>() => RawEvaluation::failed(code!("step_limit")),
            Err(_) => RawEvaluation::failed(code!("evaluation_error")),
        }
    }

    /// Where a rule stands, with those of its lines that were evaluated.
    fn site(&self, rule: &RuleId, coverage: &Report) -> Result<RuleSite, Code> {
        let span = self.loaded.rules.get(rule).ok_or(code!("unknown_rule"))?;
        let file = coverage.files.iter().find(|file| file.path == span.file.as_str());
        let lines = file.map(|file| file.covered.range(span.first..=span.last).copied().collect()).unwrap_or_default();
        let site = RuleSite { file: span.file.clone(), lines };
        if site.lines.is_empty() { Err(code!("rule_not_evaluated")) } else { Ok(site) }
    }
}
