//! How long evidence is kept: declared when a log is created, demanded whenever it is opened.

use std::collections::BTreeMap;

use jit_core::{RetentionClass, RetentionDeclared, RetentionTerms};

/// The class of the log's own records (`gov`, `erasure`, `policy`), which every policy declares.
pub const GOVERNANCE_CLASS: &str = "governance";
/// The class of evidence about AI agents, which every policy declares.
pub const AGENT_CLASS: &str = "agent";

/// A set of retention classes that a log can work with: it has terms for its own records and for the evidence of agents.
///
/// ```
/// use jit_core::RetentionTerms;
/// use jit_store::{AGENT_CLASS, GOVERNANCE_CLASS, RetentionError, RetentionPolicy};
///
/// const YEAR: u64 = 365 * 24 * 3600;
/// let terms = |class: &str, years: u64| -> Result<RetentionTerms, jit_core::TextError> {
///     Ok(RetentionTerms {
///         class: class.to_owned().try_into()?,
///         min_s: years * YEAR,
///         max_s: None,
///         basis: "internal audit rule 7".to_owned().try_into()?,
///         reviewer: "records board, 2026-01".to_owned().try_into()?,
///     })
/// };
/// let policy = RetentionPolicy::new(vec![terms(GOVERNANCE_CLASS, 10)?, terms(AGENT_CLASS, 7)?])?;
/// assert_eq!(policy.terms().count(), 2);
/// assert_eq!(RetentionPolicy::new(vec![terms(GOVERNANCE_CLASS, 10)?]), Err(RetentionError::NoAgentClass));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    classes: BTreeMap<RetentionClass, RetentionTerms>,
    governance: RetentionClass,
}

impl RetentionPolicy {
    /// A policy of these terms.
    ///
    /// # Errors
    /// [`RetentionError`] if a class is there twice, contradicts itself, or a mandatory one is missing.
    pub fn new(terms: Vec<RetentionTerms>) -> Result<Self, RetentionError> {
        let classes = distinct(terms)?;
        let class = |name: &str| classes.keys().find(|class| class.as_str() == name).cloned();
        let governance = class(GOVERNANCE_CLASS).ok_or(RetentionError::NoGovernanceClass)?;
        class(AGENT_CLASS).ok_or(RetentionError::NoAgentClass)?;
        Ok(Self { classes, governance })
    }

    /// The terms, one for each class.
    pub fn terms(&self) -> impl Iterator<Item = &RetentionTerms> {
        self.classes.values()
    }

    /// The class of the log's own records.
    pub(crate) fn governance(&self) -> &RetentionClass {
        &self.governance
    }

    /// The event that declares this policy.
    #[must_use]
    pub fn to_event(&self) -> RetentionDeclared {
        RetentionDeclared { classes: self.terms().cloned().collect() }
    }
}

/// The terms in force at some point of the log: the latest declaration of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeclaredRetention {
    classes: BTreeMap<RetentionClass, RetentionTerms>,
}

impl DeclaredRetention {
    pub(crate) fn declare(&mut self, event: RetentionDeclared) -> Result<(), RetentionError> {
        self.classes.extend(distinct(event.classes)?);
        Ok(())
    }

    pub(crate) fn contains(&self, class: &RetentionClass) -> bool {
        self.classes.contains_key(class)
    }

    pub(crate) fn is(&self, policy: &RetentionPolicy) -> bool {
        self.classes == policy.classes
    }
}

fn distinct(terms: Vec<RetentionTerms>) -> Result<BTreeMap<RetentionClass, RetentionTerms>, RetentionError> {
    let mut classes = BTreeMap::new();
    for term in terms {
        if term.max_s.is_some_and(|max| max < term.min_s) {
            return Err(RetentionError::Contradiction { class: term.class });
        }
        if let Some(double) = classes.insert(term.class.clone(), term) {
            return Err(RetentionError::Twice { class: double.class });
        }
    }
    Ok(classes)
}

/// Why terms are not a retention policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// There is no class for the log's own records.
    #[error("no terms for class {GOVERNANCE_CLASS}, the log's own records")]
    NoGovernanceClass,
    /// There is no class for the evidence of AI agents.
    #[error("no terms for class {AGENT_CLASS}, the evidence of agents")]
    NoAgentClass,
    /// A class is there twice.
    #[error("class {class} has two terms")]
    Twice {
        /// Which class.
        class: RetentionClass,
    },
    /// The maximum of a class is less than its minimum.
    #[error("the maximum of class {class} is less than its minimum")]
    Contradiction {
        /// Which class.
        class: RetentionClass,
    },
}
