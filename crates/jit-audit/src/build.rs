//! Building a bundle from a log: everything about one case, under one checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{
    CaseId, Code, Event, EvidenceExported, Expected, FieldName, Kind, LeafHash, Line, PolicyDigest, PrincipalId,
    RecordError, Refs, RetentionClass, StreamId, TextError, Version,
    canonical::{CanonicalError, Value},
};
use jit_log::VerifiedCheckpoint;
use jit_store::{AppendError, AppendRequest, Log, LogRecord, ReadError, ReceiptError};

use crate::bundle::{Bundle, BundleError, BundleLog, BundleRecord, Contents, Exclusion, Manifest, Scope, Tool};

/// What no bundle of a case proves.
const LIMITS: [&str; 5] = [
    UNIQUENESS_LIMIT,
    "That an open case, or another stream in part, has no later records is not proven.",
    "That the log told the truth when it recorded something is not proven; that it has not changed since is.",
    "That the log showed everyone the same history is proven only by witnesses that cosigned the checkpoint.",
    "The manifest, who exported this bundle and when, are claims of whoever exported it.",
];
/// The limit that every bundle states; a verifier refuses one that hides it.
pub(crate) const UNIQUENESS_LIMIT: &str =
    "That no other record has the same stream and number is proven only by a scan of the whole log.";
/// How often the record of an export is tried again when others write to the same stream.
const ATTEMPTS: usize = 16;

/// A bundle could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The log has no record of the case.
    #[error("the log has no case {0}")]
    NoSuchCase(CaseId),
    /// A record cites a policy snapshot that the log does not have.
    #[error("the log does not have policy {digest}, which record {index} cites")]
    PolicyAbsent {
        /// The record.
        index: u64,
        /// The snapshot.
        digest: PolicyDigest,
    },
    /// A policy snapshot in the log cannot be read.
    #[error("policy {digest} in the log cannot be read")]
    Policy {
        /// The snapshot.
        digest: PolicyDigest,
        /// Why.
        source: CanonicalError,
    },
    /// The log could not be read.
    #[error("the log could not be read")]
    Read(#[from] ReadError),
    /// There is no checkpoint over the records.
    #[error("no checkpoint covers the records")]
    Checkpoint(#[from] ReceiptError),
    /// The checkpoint's note is not text.
    #[error("the checkpoint is not text")]
    Note,
    /// A record is not text, or a value of it nests too deeply for a bundle.
    #[error("record {index} cannot be written into a bundle")]
    Record {
        /// Its index.
        index: u64,
    },
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A text of this program is not a valid one.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The export could not be recorded, so there is none.
    #[error("the export could not be recorded")]
    Recording(#[from] RecordingError),
}

/// The record of an export could not be appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It could not be made.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It is not under a checkpoint.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// Builds the bundle of one case.
///
/// ```no_run
/// # async fn example(log: &jit_store::Log, case: jit_core::CaseId, auditor: jit_core::PrincipalId) -> Result<(), Box<dyn std::error::Error>> {
/// use jit_audit::BundleBuilder;
///
/// let bundle = BundleBuilder::case(log, case, auditor)
///     .withhold(["justification".parse()?], jit_core::Code::new("not_for_reader")?)
///     .record_export(jit_core::RetentionClass::new("access")?)
///     .build()
///     .await?;
/// std::fs::write("case.json", bundle.to_bytes()?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a bundle is made by build()"]
pub struct BundleBuilder<'a> {
    log: &'a Log,
    case: CaseId,
    by: PrincipalId,
    withheld: BTreeSet<FieldName>,
    why: Option<Code>,
    recorded_as: Option<RetentionClass>,
}

impl<'a> BundleBuilder<'a> {
    /// A bundle of everything about a case, made by `by`.
    pub fn case(log: &'a Log, case: CaseId, by: PrincipalId) -> Self {
        Self { log, case, by, withheld: BTreeSet::new(), why: None, recorded_as: None }
    }

    /// Leaves the values of these fields out, in every record; their digests stay, so that everything else verifies.
    pub fn withhold(mut self, fields: impl IntoIterator<Item = FieldName>, why: Code) -> Self {
        self.withheld.extend(fields);
        self.why = Some(why);
        self
    }

    /// Records `evidence.exported` before the bundle is given out, in the `ops` stream of the log's writer.
    pub fn record_export(mut self, retain: RetentionClass) -> Self {
        self.recorded_as = Some(retain);
        self
    }

    /// Reads the log, proves every record, and makes the bundle. Dropping the future leaves at most the record of an export
    /// that did not happen.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(self) -> Result<Bundle, BuildError> {
        let case = self.log.stream(&StreamId::Case(self.case)).await?;
        if case.is_empty() {
            return Err(BuildError::NoSuchCase(self.case));
        }
        let policies = self.policies(&case).await?;
        let mut records = case;
        self.add_ledger(&mut records).await?;
        self.add_publications(&policies, &mut records).await?;
        self.add_removals(&mut records).await?;
        self.add_governance(&mut records).await?;
        records.sort_by_key(LogRecord::index);
        records.dedup_by_key(|record| record.index());

        if let Some(retain) = &self.recorded_as {
            self.record(retain).await?;
        }
        let checkpoint = self.log.publish().await?;
        let note = String::from_utf8(checkpoint.note().to_vec()).map_err(|_| BuildError::Note)?;
        let mut entries = Vec::with_capacity(records.len());
        let mut exclusions = Vec::new();
        for record in &records {
            let (entry, exclusion) = self.entry(record, &records, &checkpoint).await?;
            entries.push(entry);
            exclusions.extend(exclusion);
        }
        Ok(Bundle::new(Contents {
            scope: Scope::Case { case: self.case },
            log: BundleLog { origin: self.log.origin().clone(), checkpoint: note },
            manifest: self.manifest(&records, exclusions)?,
            records: entries,
            policies,
            limits: LIMITS.into_iter().map(Line::new).collect::<Result<_, _>>()?,
        })?)
    }

    /// The snapshots that the records of the case cite.
    async fn policies(&self, case: &[LogRecord]) -> Result<BTreeMap<PolicyDigest, Value>, BuildError> {
        let mut policies = BTreeMap::new();
        for cited in case {
            let Some(digest) = cited.record().header().refs.policy else { continue };
            if policies.contains_key(&digest) {
                continue;
            }
            let absent = || BuildError::PolicyAbsent { index: cited.index(), digest };
            let bytes = self.log.policy(digest).await?.ok_or_else(absent)?;
            let value = Value::parse(&bytes).map_err(|source| BuildError::Policy { digest, source })?;
            policies.insert(digest, value);
        }
        Ok(policies)
    }

    /// The records of the ledger that are about the grant of this case.
    async fn add_ledger(&self, records: &mut Vec<LogRecord>) -> Result<(), BuildError> {
        let approved = records.iter().find(|record| record.record().header().kind == Kind::GrantApproved);
        let Some(Ok(Event::GrantApproved(approved))) = approved.map(|record| record.record().event()) else {
            return Ok(());
        };
        let ledger = self.log.stream(&StreamId::Entitlement(approved.entitlement)).await?;
        records.extend(ledger.into_iter().filter(|entry| entry.record().header().refs.request == Some(self.case)));
        Ok(())
    }

    /// The records that proposed, approved and published the snapshots.
    async fn add_publications(
        &self,
        policies: &BTreeMap<PolicyDigest, Value>,
        records: &mut Vec<LogRecord>,
    ) -> Result<(), BuildError> {
        for entry in self.log.stream(&StreamId::Policy).await? {
            let about = match entry.record().event() {
                Ok(Event::PolicyPublished(published)) => Some(published.snapshot),
                Ok(Event::PolicyProposed(_) | Event::PolicyApproved(_)) => entry.record().header().refs.policy,
                _ => None,
            };
            if about.is_some_and(|policy| policies.contains_key(&policy)) {
                records.push(entry);
            }
        }
        Ok(())
    }

    /// The records that say that fields or payloads are gone, or should be.
    async fn add_removals(&self, records: &mut Vec<LogRecord>) -> Result<(), BuildError> {
        let leaves: BTreeMap<LeafHash, u64> = records.iter().map(|r| (r.record().leaf(), r.index())).collect();
        for entry in self.log.stream(&StreamId::Erasure).await? {
            let covers = match entry.record().event() {
                Ok(Event::FieldErased(erased)) => leaves.contains_key(&erased.leaf),
                Ok(Event::PurgeExecuted(purge)) => {
                    leaves.values().any(|index| purge.ranges.iter().any(|r| (r.start..r.end).contains(index)))
                }
                _ => false,
            };
            if covers {
                records.push(entry);
            }
        }
        Ok(())
    }

    /// What the log says about itself: all of it where something is absent, else without the heartbeats.
    async fn add_governance(&self, records: &mut Vec<LogRecord>) -> Result<(), BuildError> {
        let absent = records.iter().any(|record| has_gone(record) || !self.withheld_of(record).is_empty());
        let gov = self.log.stream(&StreamId::Gov).await?;
        records.extend(gov.into_iter().filter(|entry| absent || entry.record().header().kind != Kind::LogHeartbeat));
        Ok(())
    }

    /// The fields of a record that this bundle leaves out.
    fn withheld_of(&self, record: &LogRecord) -> Vec<FieldName> {
        let fields = record.record().payload().into_iter().flat_map(|payload| payload.fields());
        fields
            .filter(|(name, field)| field.value().is_some() && self.withheld.contains(*name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    async fn entry(
        &self,
        record: &LogRecord,
        all: &[LogRecord],
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(BundleRecord, Option<Exclusion>), BuildError> {
        let index = record.index();
        let unwritable = || BuildError::Record { index };
        let withheld = self.withheld_of(record);
        let header = record.record().header();
        let fields = match record.record().payload() {
            Some(payload) => {
                let shown = payload.without(header.id, &withheld).map_err(|_| unwritable())?;
                let bytes = shown.to_bytes().map_err(|_| unwritable())?;
                Some(Value::parse(&bytes).map_err(|_| unwritable())?)
            }
            None => None,
        };
        let purged = if fields.is_none() { covering_purge(index, all) } else { None };
        let proof = self.log.prove(index, checkpoint.checkpoint().size()).await?;
        let entry = BundleRecord {
            log: 0,
            index,
            header: String::from_utf8(record.record().header_bytes().to_vec()).map_err(|_| unwritable())?,
            fields,
            purged,
            proof: proof.hashes().iter().map(jit_log::Hash::to_base64).collect(),
        };
        let exclusion = self.why.as_ref().filter(|_| !withheld.is_empty()).map(|why| Exclusion {
            index,
            fields: withheld,
            reason: why.clone(),
        });
        Ok((entry, exclusion))
    }

    fn manifest(&self, records: &[LogRecord], exclusions: Vec<Exclusion>) -> Result<Manifest, BuildError> {
        let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
        for record in records {
            let count = counts.entry(record.record().header().kind.clone()).or_default();
            *count = count.saturating_add(1);
        }
        let index = |record: Option<&LogRecord>| record.map_or(0, LogRecord::index);
        Ok(Manifest {
            query: Line::new(format!("everything about case {}", self.case))?,
            first: index(records.first()),
            last: index(records.last()),
            counts,
            exclusions,
            tool: Tool { name: Code::new(env!("CARGO_PKG_NAME"))?, version: Version::new(env!("CARGO_PKG_VERSION"))? },
            by: self.by.clone(),
            at: self.log.recorder().clock().now().at,
        })
    }

    /// Appends `evidence.exported` and waits until it is under a checkpoint.
    async fn record(&self, retain: &RetentionClass) -> Result<(), RecordingError> {
        let recorder = self.log.recorder();
        let stream = StreamId::Ops(recorder.writer());
        let event = EvidenceExported {
            by: self.by.clone(),
            case: Some(self.case),
            withheld: self.withheld.iter().cloned().collect(),
            why: self.why.clone(),
        };
        let refs = Refs { request: Some(self.case), ..Refs::default() };
        let (mut expected, mut attempt) = (Expected::Empty, 1);
        loop {
            let read = recorder.clock().now();
            let draft = recorder.draft(stream, event.clone().into(), refs.clone(), retain.clone(), read)?;
            let record = draft.seal(expected.head(), None)?;
            match self.log.append(AppendRequest::new().records(stream, expected, vec![record])).await {
                Ok(appended) => {
                    appended.receipt().await?;
                    return Ok(());
                }
                Err(AppendError::Conflict { current, .. }) if attempt < ATTEMPTS => {
                    expected = Expected::from_head(current);
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn has_gone(record: &LogRecord) -> bool {
    match record.record().payload() {
        Some(payload) => payload.fields().values().any(|field| field.value().is_none()),
        None => true,
    }
}

/// The index of the purge among `all` that removed the payload at `index`.
fn covering_purge(index: u64, all: &[LogRecord]) -> Option<u64> {
    all.iter().find_map(|entry| match entry.record().event() {
        Ok(Event::PurgeExecuted(purge)) if purge.ranges.iter().any(|r| (r.start..r.end).contains(&index)) => {
            Some(entry.index())
        }
        _ => None,
    })
}
