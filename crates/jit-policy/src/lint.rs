//! What looks wrong in a policy that loads all the same.

use std::fmt;

use jit_core::RuleId;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LintKind {
    /// The rule can fail when it is evaluated, and then everything that it looks at is denied.
    CanFail,
    /// The rule can never decide anything.
    Unreachable,
    /// An obligation, an annotation or a rule changes nothing.
    NoEffect,
    /// The rule permits without approval and for any time.
    Unlimited,
    /// A text reads as something else than it is.
    Misleading,
}

impl fmt::Display for LintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CanFail => "can fail",
            Self::Unreachable => "unreachable",
            Self::NoEffect => "no effect",
            Self::Unlimited => "unlimited",
            Self::Misleading => "misleading",
        })
    }
}

/// One thing that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LintFinding {
    /// In which rule.
    pub rule: RuleId,
    /// What.
    pub kind: LintKind,
    /// In words.
    pub detail: String,
}

impl fmt::Display for LintFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}: {}", self.rule, self.kind, self.detail)
    }
}
