//! The story of a case for people: what happened, in order, each line with the record that says so.

mod asserting;
mod telling;

use std::{collections::BTreeMap, fmt};

use jit_core::{Case, EventError, LeafHash, Line, PrincipalId, Timestamp};

use crate::{
    bundle::Scope,
    verify::{Examination, ExaminedRecord, Standing},
};

/// Whether a line is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Basis {
    /// Its record hangs under a trusted checkpoint and is what its header commits to.
    Proven,
    /// Whoever exported the bundle says so.
    Claimed,
    /// Its record does not verify.
    Disproved,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Proven => "proven",
            Self::Claimed => "claimed",
            Self::Disproved => "DISPROVED",
        })
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryLine {
    /// The index of its record.
    pub index: u64,
    /// When it was recorded, if that can be read.
    pub at: Option<Timestamp>,
    /// Whether it is proven.
    pub basis: Basis,
    /// What happened, in one line.
    pub text: String,
    /// What belongs to it, line by line.
    pub details: Vec<String>,
}

/// What is not finished when the records end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMatter {
    /// The index of the record that opened it, if it is in the bundle.
    pub index: Option<u64>,
    /// What is open.
    pub text: String,
}

/// A readable account of a bundle. Its display is the text that `jit-audit show` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    title: String,
    exported: String,
    lines: Vec<StoryLine>,
    open: Vec<OpenMatter>,
    limits: Vec<Line>,
}

impl Story {
    /// Tells what a bundle says; `None` if the bytes that were examined are no bundle.
    #[must_use]
    pub fn of(examination: &Examination) -> Option<Self> {
        let bundle = examination.bundle()?;
        let manifest = &bundle.manifest;
        let Scope::Case { case } = bundle.scope;
        let standings = examination.report().records().iter().map(|record| record.standing);
        let records = examination.records().iter().zip(standings);
        let lines = records.map(|(examined, standing)| line(examined, standing)).collect();
        let indexes =
            examination.records().iter().filter_map(|e| Some((e.record()?.leaf(), e.place().index))).collect();
        let open = examination.cases().values().flat_map(|case| open_matters(case, &indexes)).collect();
        let tool = &manifest.tool;
        Some(Self {
            title: format!("Case {case}"),
            exported: format!("{} with {} {} at {}", who(&manifest.by), tool.name, tool.version, manifest.at),
            lines,
            open,
            limits: bundle.limits.clone(),
        })
    }

    /// What happened, in the order of the log.
    #[must_use]
    pub fn lines(&self) -> &[StoryLine] {
        &self.lines
    }

    /// What is not finished when the records end.
    #[must_use]
    pub fn open_matters(&self) -> &[OpenMatter] {
        &self.open
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(f, "Exported by {} (a claim)\n", self.exported)?;
        writeln!(f, "{:>8}  {:<9}  what happened, by the log's own clock", "record", "basis")?;
        for line in &self.lines {
            let at = line.at.map_or_else(|| "at an unreadable time".to_owned(), |at| at.to_string());
            writeln!(f, "{:>8}  {:<9}  {at}  {}", line.index, line.basis, line.text)?;
            for detail in &line.details {
                writeln!(f, "{:>21}  {detail}", "")?;
            }
        }
        writeln!(f, "\nOpen when the records end:")?;
        if self.open.is_empty() {
            writeln!(f, "  nothing that these records show")?;
        }
        for matter in &self.open {
            match matter.index {
                Some(index) => writeln!(f, "{index:>8}  {}", matter.text)?,
                None => writeln!(f, "{:>8}  {}", "", matter.text)?,
            }
        }
        writeln!(f, "\nWhat this bundle does not prove, as it says itself:")?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "  - {limit}"))
    }
}

fn line(examined: &ExaminedRecord, standing: Standing) -> StoryLine {
    let basis = match (standing, examined.is_proven()) {
        (Standing::Tampered, _) => Basis::Disproved,
        (_, true) => Basis::Proven,
        (_, false) => Basis::Claimed,
    };
    let (index, header) = (examined.place().index, examined.record().map(|record| record.header()));
    let at = header.map(|header| header.at);
    let Some(record) = examined.record() else {
        return StoryLine { index, at, basis, text: "something that cannot be read".to_owned(), details: Vec::new() };
    };
    let kind = &record.header().kind;
    let (text, details) = match record.event() {
        Ok(event) => telling::tell(&event, record.header()),
        Err(EventError::UnknownKind(_)) => (format!("{kind}, a kind that this version does not know"), Vec::new()),
        Err(_) if basis == Basis::Disproved => (format!("{kind}, which does not verify"), Vec::new()),
        Err(error) => (format!("{kind}, of which too little is shown: {error}"), Vec::new()),
    };
    StoryLine { index, at, basis, text, details }
}

/// Obligations that nobody met, mints without outcome, and credentials that may still work.
fn open_matters(case: &Case, indexes: &BTreeMap<LeafHash, u64>) -> Vec<OpenMatter> {
    let index_of = |leaf: LeafHash| indexes.get(&leaf).copied();
    let mut open = Vec::new();
    for obligation in case.obligations().values().filter(|obligation| !obligation.closed) {
        let text = format!("obligation `{}`, due at {}", obligation.task, obligation.due);
        open.push(OpenMatter { index: index_of(obligation.leaf), text });
    }
    for (id, credential) in case.credentials() {
        let text = if credential.is_unresolved() {
            format!("credential {id}: whether it exists is not known")
        } else if credential.may_live() {
            match credential.dies_at() {
                Some(at) => format!("credential {id} may work until {at}, when it dies by itself"),
                None => format!("credential {id} may work, and does not die by itself"),
            }
        } else {
            continue;
        };
        open.push(OpenMatter { index: index_of(credential.latest), text });
    }
    if let Some(grant) = case.grant().filter(|grant| grant.end.is_none()) {
        let text = format!("the grant has no recorded end; its window ends at {}", grant.approved.approved.end());
        open.push(OpenMatter { index: index_of(grant.leaf), text });
    }
    open
}

/// A person, workload or rule, as a reader sees it.
fn who(id: &PrincipalId) -> String {
    one_line(&id.to_string())
}

/// A text without anything that moves a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
