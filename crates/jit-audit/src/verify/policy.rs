//! Policy snapshots: cited by decisions, published before, and what their digests say (INV-11).

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{Event, Kind, PolicyDigest, canonical::Value};
use jit_policy::SnapshotDocument;

use crate::{
    bundle::Bundle,
    verify::{
        reason::Reason,
        record::ExaminedRecord,
        report::{Notice, Report},
    },
};

/// Judges the snapshots of a bundle, and gives those that are what their digests say.
pub(super) fn judge(
    bundle: &Bundle,
    records: &[ExaminedRecord],
    report: &mut Report,
) -> BTreeMap<PolicyDigest, SnapshotDocument> {
    let (mut snapshots, mut wrong) = (BTreeMap::new(), BTreeSet::new());
    for (digest, value) in &bundle.policies {
        match read(*digest, value) {
            Ok(snapshot) => {
                snapshots.insert(*digest, snapshot);
            }
            Err(reason) => {
                wrong.insert(*digest);
                report.fail(None, reason);
            }
        }
    }
    let (mut published, mut cited) = (BTreeSet::new(), BTreeSet::new());
    for examined in records {
        let Some(record) = examined.sound() else { continue };
        let header = record.header();
        if header.kind == Kind::PolicyPublished {
            published.extend(fact(header.facts.as_ref(), "snapshot"));
        }
        let Some(digest) = header.refs.policy else { continue };
        cited.insert(digest);
        if !snapshots.contains_key(&digest) && !wrong.contains(&digest) {
            report.fail(Some(examined.place()), Reason::PolicyAbsent(digest));
        }
        if header.kind == Kind::PolicyEvaluated && !published.contains(&digest) {
            report.fail(Some(examined.place()), Reason::PolicyUnpublished(digest));
        }
        if let Ok(Event::PolicyEvaluated(evaluated)) = record.event()
            && evaluated.decision.policy != digest
        {
            report.fail(
                Some(examined.place()),
                Reason::PolicyOther { stated: digest, computed: evaluated.decision.policy },
            );
        }
    }
    let uncited = bundle.policies.keys().filter(|digest| !cited.contains(digest));
    report.notices.extend(uncited.map(|digest| Notice::UncitedPolicy(*digest)));
    snapshots
}

fn read(digest: PolicyDigest, value: &Value) -> Result<SnapshotDocument, Reason> {
    let snapshot =
        SnapshotDocument::parse(&value.to_bytes()?).map_err(|source| Reason::PolicyMalformed { digest, source })?;
    if snapshot.digest() == digest {
        Ok(snapshot)
    } else {
        Err(Reason::PolicyOther { stated: digest, computed: snapshot.digest() })
    }
}

fn fact(facts: Option<&Value>, name: &str) -> Option<PolicyDigest> {
    facts?.as_object()?.get(name)?.as_str()?.parse().ok()
}
