//! From any one name to the whole case: request, decision, approval, grant, credential, resource, subject, external reference.

use std::collections::BTreeSet;

use jit_core::{
    CaseId, CredentialId, EntitlementId, Event, ExternalRef, GrantId, Kind, Lookup, PolicyDigest, Principal,
    PrincipalId, RecordId, Resource, StreamId,
};
use jit_store::{Log, LogRecord, ReadError};

/// Records looked at in one go.
const PAGE: usize = 256;

/// Every name under which a case is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The case, which is the request.
    pub case: CaseId,
    /// Its decisions.
    pub decisions: Vec<RecordId>,
    /// The policy snapshots that they cite.
    pub policies: BTreeSet<PolicyDigest>,
    /// Its approvals.
    pub approvals: Vec<RecordId>,
    /// Its grant.
    pub grant: Option<GrantId>,
    /// The grant above it.
    pub parent: Option<GrantId>,
    /// The ledger that the grant is entered in.
    pub entitlement: Option<EntitlementId>,
    /// Its credentials.
    pub credentials: BTreeSet<CredentialId>,
    /// What access was asked for.
    pub resource: Option<Resource>,
    /// Who is involved: requester, recipient, owner, principals acted for, approvers.
    pub subjects: BTreeSet<PrincipalId>,
    /// References to other systems.
    pub external: BTreeSet<ExternalRef>,
}

/// The cases that a name belongs to, in the order in which it first appears, each with all its names.
///
/// ```no_run
/// # async fn example(log: &jit_store::Log, credential: jit_core::CredentialId) -> Result<(), jit_store::ReadError> {
/// use jit_core::{Lookup, LookupFamily};
///
/// for found in jit_audit::trace(log, &Lookup::new(LookupFamily::Credential, credential)).await? {
///     println!("{} was approved in {:?}", found.case, found.approvals);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ReadError`] if the log cannot be read.
pub async fn trace(log: &Log, name: &Lookup) -> Result<Vec<Traced>, ReadError> {
    let (mut seen, mut traced) = (BTreeSet::new(), Vec::new());
    let mut from = 0;
    loop {
        let page = log.find(name, from, PAGE).await?;
        let Some(last) = page.last().map(LogRecord::index) else { return Ok(traced) };
        for record in page {
            if let StreamId::Case(case) = record.record().header().stream
                && seen.insert(case)
            {
                traced.push(Traced::read(case, &log.stream(&StreamId::Case(case)).await?));
            }
        }
        from = last.saturating_add(1);
    }
}

impl Traced {
    fn read(case: CaseId, records: &[LogRecord]) -> Self {
        let mut traced = Self {
            case,
            decisions: Vec::new(),
            policies: BTreeSet::new(),
            approvals: Vec::new(),
            grant: None,
            parent: None,
            entitlement: None,
            credentials: BTreeSet::new(),
            resource: None,
            subjects: BTreeSet::new(),
            external: BTreeSet::new(),
        };
        for entry in records {
            traced.add(entry);
        }
        traced
    }

    fn add(&mut self, entry: &LogRecord) {
        let header = entry.record().header();
        self.grant = self.grant.or(header.refs.grant);
        self.parent = self.parent.or(header.refs.parent);
        self.credentials.extend(header.refs.credential);
        self.policies.extend(header.refs.policy);
        match header.kind {
            Kind::PolicyEvaluated => self.decisions.push(header.id),
            Kind::ApprovalRecorded => self.approvals.push(header.id),
            _ => {}
        }
        match entry.record().event() {
            Ok(Event::RequestSubmitted(e)) => {
                self.subjects.extend(e.requester.interested());
                self.subjects.insert(e.recipient);
                if let Principal::Agent(agent) = &e.requester {
                    self.subjects.insert(PrincipalId::Identity(agent.owner().clone()));
                }
                self.resource = Some(e.scope.resource().clone());
                self.external.extend(e.external);
            }
            Ok(Event::ApprovalRecorded(e)) => {
                self.subjects.insert(e.approver);
            }
            Ok(Event::GrantApproved(e)) => self.entitlement = Some(e.entitlement),
            Ok(Event::SignalReceived(e)) => {
                self.external.insert(ExternalRef { system: e.system, id: e.id, digest: None });
            }
            _ => {}
        }
    }
}
