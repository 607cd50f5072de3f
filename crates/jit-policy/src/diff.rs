//! How two snapshots differ, rule by rule: what a reviewer reads before a policy is published.

use std::{collections::BTreeSet, fmt};

use jit_core::{
    RuleId,
    canonical::{self, Value},
};

use crate::{
    bundle::FilePath,
    engine::{PolicySnapshot, RawObligation, RuleForm},
    snapshot::{FileEntry, SnapshotDocument},
};

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// It was not there.
    Added(FilePath),
    /// It is not there any more.
    Removed(FilePath),
    /// Its bytes are others.
    Changed(FilePath),
}

/// What became of a rule that stands in both snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// The rule.
    pub rule: RuleId,
    /// As it was.
    pub then: RuleForm,
    /// As it is.
    pub now: RuleForm,
}

impl RuleChange {
    /// Whether it says something else when it applies.
    #[must_use]
    pub fn effect(&self) -> bool {
        self.then.effect != self.now.effect
    }

    /// Whether it applies at other times.
    #[must_use]
    pub fn condition(&self) -> bool {
        self.then.condition != self.now.condition
    }

    /// Whether it demands something else.
    #[must_use]
    pub fn obligations(&self) -> bool {
        listed(&self.then.obligations) != listed(&self.now.obligations)
    }
}

fn listed(obligations: &[RawObligation]) -> BTreeSet<String> {
    let text = |o: &RawObligation| format!("{} {}", o.kind, written(&o.properties));
    obligations.iter().map(text).collect()
}

fn written(value: &Value) -> String {
    canonical::to_bytes(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// How two snapshots differ. Layout, comments and annotations that are not obligations make no rule differ, but its file.
///
/// ```
/// # fn example(in_force: &dyn jit_policy::PolicySnapshot, proposed: &dyn jit_policy::PolicySnapshot) {
/// use jit_policy::SnapshotDiff;
/// let diff = SnapshotDiff::between(in_force, proposed);
/// println!("{diff}");
/// assert!(diff.removed.is_empty(), "a rule would go");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDiff {
    /// Whether engine, language, entry point or the name of the schema differ.
    pub target: bool,
    /// The files that differ, ascending.
    pub files: Vec<FileChange>,
    /// The rules that were not there, ascending.
    pub added: Vec<RuleId>,
    /// The rules that are not there any more, ascending.
    pub removed: Vec<RuleId>,
    /// The rules that stand in both and differ, ascending.
    pub changed: Vec<RuleChange>,
    /// The rules that stand in both, and may differ because a file does: the engine does not tell rules apart.
    pub unclear: Vec<RuleId>,
}

impl SnapshotDiff {
    /// How `now` differs from `then`.
    #[must_use]
    pub fn between(then: &dyn PolicySnapshot, now: &dyn PolicySnapshot) -> Self {
        let mut diff = then.document().diff(now.document());
        let both = std::mem::take(&mut diff.unclear);
        for rule in both {
            match (then.rule(&rule), now.rule(&rule)) {
                (Some(then), Some(now)) => {
                    let change = RuleChange { rule, then, now };
                    if change.effect() || change.condition() || change.obligations() {
                        diff.changed.push(change);
                    }
                }
                _ => diff.unclear.push(rule),
            }
        }
        diff
    }

    /// Whether they are the same policy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.target && self.files.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

impl SnapshotDocument {
    /// How `now` differs from this one, by files and the ids of rules. Rules that stand in both are
    /// [`unclear`](SnapshotDiff::unclear) if any file differs; [`SnapshotDiff::between`] asks the engine about them.
    #[must_use]
    pub fn diff(&self, now: &SnapshotDocument) -> SnapshotDiff {
        let (old, new) = (self.manifest(), now.manifest());
        let rules = |of: &SnapshotDocument| -> BTreeSet<RuleId> {
            of.manifest().rules().iter().map(|entry| entry.id.clone()).collect()
        };
        let (before, after) = (rules(self), rules(now));
        let files = files(old.files(), new.files());
        let unclear = if files.is_empty() { Vec::new() } else { before.intersection(&after).cloned().collect() };
        SnapshotDiff {
            target: (old.engine(), old.language(), old.entrypoint(), old.schema())
                != (new.engine(), new.language(), new.entrypoint(), new.schema()),
            files,
            added: after.difference(&before).cloned().collect(),
            removed: before.difference(&after).cloned().collect(),
            changed: Vec::new(),
            unclear,
        }
    }
}

/// Both lists ascend by path.
fn files(old: &[FileEntry], new: &[FileEntry]) -> Vec<FileChange> {
    let paths: BTreeSet<&FilePath> = old.iter().chain(new).map(|entry| &entry.path).collect();
    let find = |list: &[FileEntry], path: &FilePath| {
        list.binary_search_by(|entry| entry.path.cmp(path)).ok().and_then(|at| list.get(at).cloned())
    };
    let change = |path: &&FilePath| match (find(old, path), find(new, path)) {
        (None, Some(_)) => Some(FileChange::Added((*path).clone())),
        (Some(_), None) => Some(FileChange::Removed((*path).clone())),
        (then, now) if then != now => Some(FileChange::Changed((*path).clone())),
        _ => None,
    };
    paths.iter().filter_map(change).collect()
}

impl fmt::Display for SnapshotDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the same policy");
        }
        let mut lines: Vec<String> = Vec::new();
        if self.target {
            lines.push("engine, language, entry point or schema differ".to_owned());
        }
        lines.extend(self.files.iter().map(|change| match change {
            FileChange::Added(path) => format!("file added: {path}"),
            FileChange::Removed(path) => format!("file removed: {path}"),
            FileChange::Changed(path) => format!("file changed: {path}"),
        }));
        lines.extend(self.added.iter().map(|rule| format!("rule added: {rule}")));
        lines.extend(self.removed.iter().map(|rule| format!("rule removed: {rule}")));
        for change in &self.changed {
            let what =
                [(change.effect(), "effect"), (change.condition(), "condition"), (change.obligations(), "obligations")];
            let what: Vec<&str> = what.iter().filter(|(differs, _)| *differs).map(|(_, name)| *name).collect();
            lines.push(format!("rule changed: {} ({})", change.rule, what.join(", ")));
            if change.obligations() {
                let (then, now) = (listed(&change.then.obligations), listed(&change.now.obligations));
                lines.extend(then.difference(&now).map(|o| format!("  no longer demands: {o}")));
                lines.extend(now.difference(&then).map(|o| format!("  now demands: {o}")));
            }
        }
        lines.extend(self.unclear.iter().map(|rule| format!("rule may have changed: {rule}")));
        f.write_str(&lines.join("\n"))
    }
}
