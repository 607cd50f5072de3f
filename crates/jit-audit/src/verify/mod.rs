//! The offline verifier: bytes and a trust policy in, a verdict out. No clock, no network, no store.

mod absence;
mod case;
mod claim;
mod policy;
mod reason;
mod record;
mod removal;
mod report;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{Case, CaseId, Kind, LeafHash, PolicyDigest, Timestamp};
use jit_log::{TrustPolicy, VerifiedCheckpoint};
use jit_policy::SnapshotDocument;

pub use reason::{AbsentPart, Reason};
pub use record::ExaminedRecord;
pub use report::{Claims, Failure, Notice, Place, RecordReport, Report, Standing, StreamReport, StreamState, Verdict};
pub(crate) use stream::Streams;

use crate::bundle::Bundle;

/// What a caller accepts. The default accepts no absence.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Accept fields that the exporter left out of this copy. That the log still has them is then a claim.
    pub accept_withheld: bool,
    /// Accept fields that were erased, and payloads that were purged, lawfully and on the record.
    pub accept_erased: bool,
    /// The moment at which deadlines are judged; by default that of the latest record, so that a verdict never changes.
    pub as_of: Option<Timestamp>,
}

/// Verifies a bundle offline.
///
/// ```
/// use jit_audit::{Reason, Verdict, VerifyOptions, verify};
/// use jit_log::{Origin, SignerKey, TrustPolicy};
///
/// let key = SignerKey::from_seed(&Origin::parse("example.org/evidence")?, [7; 32]);
/// let trust = TrustPolicy::new_log_only(key.verifier())?;
/// let report = verify(b"{}", &trust, &VerifyOptions::default());
/// let Verdict::NotProvable(failure) = report.verdict() else { panic!("nothing proves nothing") };
/// assert!(matches!(failure.reason, Reason::NotABundle(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn verify(bundle: &[u8], trust: &TrustPolicy, options: &VerifyOptions) -> Report {
    Examination::new(bundle, Some(trust), options).into_report()
}

/// A bundle with everything that was found in it: what a story is told from, and what decisions are replayed from.
#[derive(Debug, Default)]
pub struct Examination {
    bundle: Option<Bundle>,
    records: Vec<ExaminedRecord>,
    policies: BTreeMap<PolicyDigest, SnapshotDocument>,
    cases: BTreeMap<CaseId, Case>,
    report: Report,
}

impl Examination {
    /// Examines a bundle. Without a trust policy it is read and held against itself, and proves nothing.
    ///
    /// In order: form and digest; the checkpoint's signature and origin; each record's header, inclusion and payload; streams;
    /// what is absent; policy snapshots; cases and invariants; what the manifest claims.
    #[must_use]
    pub fn new(bytes: &[u8], trust: Option<&TrustPolicy>, options: &VerifyOptions) -> Self {
        let mut examination = Self::default();
        match Bundle::parse(bytes) {
            Ok(bundle) => {
                examination.examine(&bundle, trust, options);
                examination.bundle = Some(bundle);
            }
            Err(error) => examination.report.fail(None, error),
        }
        examination
    }

    fn examine(&mut self, bundle: &Bundle, trust: Option<&TrustPolicy>, options: &VerifyOptions) {
        let report = &mut self.report;
        match bundle.computed_digest() {
            Ok(computed) if computed == bundle.digest() => {}
            Ok(computed) => report.fail(None, Reason::Damaged { stated: bundle.digest(), computed }),
            Err(error) => report.fail(None, error),
        }
        if bundle.records.is_empty() {
            report.fail(None, Reason::Empty);
        }
        report.checkpoint = match accept_checkpoint(bundle, trust) {
            Ok(checkpoint) => Some(checkpoint),
            Err(reason) => {
                report.fail(None, reason);
                None
            }
        };
        let mut before = None;
        for entry in &bundle.records {
            let (examined, judged) = record::examine(entry, bundle.logs.len(), report.checkpoint.as_ref());
            if let Err(reason) = judged {
                report.fail(Some(examined.place()), reason);
            }
            let position = (entry.log, entry.index);
            if before.replace(position).is_some_and(|before| before >= position) {
                report.fail(Some(examined.place()), Reason::Order);
            }
            note_unknown(&examined, report);
            self.records.push(examined);
        }
        note_dangling(&self.records, report);
        stream::follow(&self.records, report);
        absence::judge(bundle, &self.records, options, report);
        self.policies = policy::judge(bundle, &self.records, report);
        self.cases = case::fold(&self.records, report);
        // A snapshot that is not here is not provable, which was said; that it cannot be had anywhere is not shown.
        let cited = self.records.iter().filter_map(|examined| examined.record()?.header().refs.policy.as_ref());
        case::hold_to_invariants(&self.records, self.policies.keys().chain(cited), options.as_of, report);
        claim::judge(bundle, &self.records, report);
        report.order();
    }

    /// The verdict and everything it rests on.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The verdict alone, without the records.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// The bundle, if the bytes are one.
    #[must_use]
    pub fn bundle(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    /// The records, in the order of the bundle.
    #[must_use]
    pub fn records(&self) -> &[ExaminedRecord] {
        &self.records
    }

    /// The policy snapshots that are what their digests say.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<PolicyDigest, SnapshotDocument> {
        &self.policies
    }

    /// The cases whose records show enough to follow them to their end.
    #[must_use]
    pub fn cases(&self) -> &BTreeMap<CaseId, Case> {
        &self.cases
    }
}

/// The checkpoint of a bundle of one log, if its signature is trusted.
fn accept_checkpoint(bundle: &Bundle, trust: Option<&TrustPolicy>) -> Result<VerifiedCheckpoint, Reason> {
    let [log] = bundle.logs.as_slice() else {
        return Err(Reason::Logs(bundle.logs.len()));
    };
    let trust = trust.ok_or(Reason::NoTrustPolicy)?;
    let checkpoint = trust.verify(log.checkpoint.as_bytes()).map_err(Reason::Checkpoint)?;
    let signed = checkpoint.checkpoint().origin();
    if signed == log.origin.as_origin() {
        Ok(checkpoint)
    } else {
        Err(Reason::Origin { signed: signed.to_string(), stated: log.origin.clone() })
    }
}

fn note_unknown(examined: &ExaminedRecord, report: &mut Report) {
    let Some(record) = examined.record() else { return };
    if matches!(record.header().kind, Kind::Unknown(_)) {
        report.notices.push(Notice::UnknownKind(examined.place().clone()));
    }
    for name in record.header().refs.unknown.keys() {
        report.notices.push(Notice::UnknownReference(examined.place().clone(), name.clone()));
    }
}

/// Notes records that refer to a record which the bundle does not have.
fn note_dangling(records: &[ExaminedRecord], report: &mut Report) {
    let leaves: BTreeSet<LeafHash> = records.iter().filter_map(|examined| Some(examined.record()?.leaf())).collect();
    for examined in records {
        let Some(refs) = examined.record().map(|record| &record.header().refs) else { continue };
        let named = refs.decision.iter().chain(&refs.cause).chain(&refs.approved_by).chain(&refs.approvals);
        for leaf in named.filter(|leaf| !leaves.contains(leaf)) {
            report.notices.push(Notice::DanglingReference(examined.place().clone(), *leaf));
        }
    }
}
