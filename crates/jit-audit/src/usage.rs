//! What was granted, held against what was used: access that nobody used, and use that no grant covers.

use std::collections::BTreeSet;

use jit_core::{
    AccessObserved, ApplyError, Case, CaseId, CredentialId, Event, EventError, GrantId, IssuerName, Lookup,
    LookupFamily, MintState, PrincipalId, RecordId, Scope, StreamId, UseFinding, Window,
};
use jit_store::{Log, LogRecord, ReadError};

/// Records looked at in one go.
const PAGE: usize = 256;

/// A grant, and what is on record of its use. An absence of use is an absence of records: it says something where every line of the
/// target's log is read, and nothing elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The case.
    pub case: CaseId,
    /// The grant.
    pub grant: GrantId,
    /// Who received it.
    pub recipient: PrincipalId,
    /// What it allows.
    pub scope: Scope,
    /// When, as approved.
    pub window: Window,
    /// Its credentials, in the order of their ids.
    pub credentials: Vec<CredentialUsage>,
}

/// A credential, and what is on record of its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialUsage {
    /// The credential.
    pub credential: CredentialId,
    /// Its issuer.
    pub issuer: IssuerName,
    /// Whether it was handed out.
    pub released: bool,
    /// When it was used, by whom, for what, in the order of the log.
    pub uses: Vec<ObservedAccess>,
}

/// A use of access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedAccess {
    /// The record.
    pub record: RecordId,
    /// Its place in the log.
    pub index: u64,
    /// What the target said.
    pub observed: AccessObserved,
    /// What is wrong with it, held against the case as it stands now. Empty if nothing is.
    pub findings: Vec<UseFinding>,
}

/// Use cannot be held against grants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    /// The records of a case do not make one.
    #[error("the records of case {case} do not make a case")]
    Case {
        /// The case.
        case: CaseId,
        /// Why.
        #[source]
        source: ApplyError,
    },
    /// The record of a use cannot be read, or was purged.
    #[error("record {record} of a use cannot be read")]
    Record {
        /// The record.
        record: RecordId,
        /// Why.
        #[source]
        source: EventError,
    },
}

impl Usage {
    /// Whether a credential was handed out and, as far as the records tell, never used.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.credentials.iter().any(|c| c.released) && self.credentials.iter().all(|c| c.uses.is_empty())
    }

    /// The uses with which something is wrong.
    pub fn findings(&self) -> impl Iterator<Item = &ObservedAccess> {
        self.credentials.iter().flat_map(|c| &c.uses).filter(|used| !used.findings.is_empty())
    }

    /// Whom else than the recipient targets saw using it.
    #[must_use]
    pub fn other_subjects(&self) -> BTreeSet<&PrincipalId> {
        let uses = self.credentials.iter().flat_map(|c| &c.uses);
        uses.filter_map(|used| used.observed.by.as_ref()).filter(|by| **by != self.recipient).collect()
    }
}

/// The grants that a name leads to, each with its use: a grant, a credential, everything that one subject was given, everything given on one resource or
/// under one policy. In the order in which the name first appears; a case without a grant is left out.
///
/// ```no_run
/// # async fn example(log: &jit_store::Log, subject: jit_core::PrincipalId) -> Result<(), jit_audit::UsageError> {
/// use jit_core::{Lookup, LookupFamily};
///
/// for usage in jit_audit::usage(log, &Lookup::new(LookupFamily::Subject, subject)).await? {
///     if usage.is_unused() {
///         println!("grant {} was not used", usage.grant);
///     }
///     for used in usage.findings() {
///         println!("record {}: used at {}: {:?}", used.index, used.observed.occurred_at, used.findings);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`UsageError`] if the log cannot be read, or its records make no case.
pub async fn usage(log: &Log, name: &Lookup) -> Result<Vec<Usage>, UsageError> {
    let (mut seen, mut usages) = (BTreeSet::new(), Vec::new());
    let mut from = 0;
    loop {
        let page = log.find(name, from, PAGE).await?;
        let Some(last) = page.last().map(LogRecord::index) else { return Ok(usages) };
        for record in page {
            if let StreamId::Case(case) = record.record().header().stream
                && seen.insert(case)
            {
                usages.extend(usage_of(log, case).await?);
            }
        }
        from = last.saturating_add(1);
    }
}

async fn usage_of(log: &Log, id: CaseId) -> Result<Option<Usage>, UsageError> {
    let records = log.stream(&StreamId::Case(id)).await?;
    let case = Case::new(log.origin().clone(), id).fold_all(records.iter().map(LogRecord::record));
    let case = case.map_err(|source| UsageError::Case { case: id, source })?;
    let Some(grant) = case.grant() else { return Ok(None) };
    let mut credentials = Vec::new();
    for (credential, known) in case.credentials() {
        credentials.push(CredentialUsage {
            credential: *credential,
            issuer: known.intended.issuer.clone(),
            released: known.mint == MintState::Issued,
            uses: uses(log, &case, *credential).await?,
        });
    }
    Ok(Some(Usage {
        case: id,
        grant: grant.id,
        recipient: grant.approved.recipient.clone(),
        scope: grant.approved.scope.clone(),
        window: grant.approved.approved,
        credentials,
    }))
}

/// The uses of a credential, in the case and beside it.
async fn uses(log: &Log, case: &Case, credential: CredentialId) -> Result<Vec<ObservedAccess>, UsageError> {
    let lookup = Lookup::new(LookupFamily::Use, credential);
    let (mut uses, mut from) = (Vec::new(), 0);
    loop {
        let page = log.find(&lookup, from, PAGE).await?;
        let Some(last) = page.last().map(LogRecord::index) else { return Ok(uses) };
        for entry in &page {
            let record = entry.record().header().id;
            let event = entry.record().event().map_err(|source| UsageError::Record { record, source })?;
            let Event::AccessObserved(observed) = event else { continue };
            let findings = case.judge_use(credential, &observed).unwrap_or_default();
            uses.push(ObservedAccess { record, index: entry.index(), observed, findings });
        }
        from = last.saturating_add(1);
    }
}
