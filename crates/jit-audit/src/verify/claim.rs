//! What the manifest claims, held against the records.

use std::collections::BTreeMap;

use jit_core::{Kind, StreamId};

use crate::{
    build::UNIQUENESS_LIMIT,
    bundle::{Bundle, Scope},
    verify::{
        reason::Reason,
        record::ExaminedRecord,
        report::{Claims, Notice, Report},
    },
};

/// Notes the claims of a bundle, and judges those that its records can contradict.
pub(super) fn judge(bundle: &Bundle, records: &[ExaminedRecord], report: &mut Report) {
    let manifest = &bundle.manifest;
    report.claims = Some(Claims { scope: bundle.scope, manifest: manifest.clone(), limits: bundle.limits.clone() });
    if !bundle.limits.iter().any(|limit| limit.as_str() == UNIQUENESS_LIMIT) {
        report.fail(None, Reason::Manifest("stated limits"));
    }
    let absent = [
        ("renewals", bundle.renewals.is_some()),
        ("stream_proofs", bundle.stream_proofs.is_some()),
        ("inputs", !bundle.inputs.is_empty()),
        ("an envelope", bundle.envelope.is_some()),
    ];
    report.notices.extend(absent.into_iter().filter(|(_, there)| *there).map(|(part, _)| Notice::NotEvaluated(part)));

    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    for kind in records.iter().filter_map(|examined| examined.place().kind.clone()) {
        let count = counts.entry(kind).or_default();
        *count = count.saturating_add(1);
    }
    let index = |examined: Option<&ExaminedRecord>| examined.map(|examined| examined.place().index);
    if index(records.first()) != Some(manifest.first) || index(records.last()) != Some(manifest.last) {
        report.fail(None, Reason::Manifest("first or last index"));
    }
    if counts != manifest.counts {
        report.fail(None, Reason::Manifest("number of records"));
    }
    let Scope::Case { case } = bundle.scope;
    let stream = StreamId::Case(case);
    let there = |examined: &ExaminedRecord| examined.record().is_some_and(|record| record.header().stream == stream);
    if !records.iter().any(there) {
        report.fail(None, Reason::ScopeAbsent(stream));
    }
}
