//! What every record shows and does not show, and whether what is absent may be (evidence format, section 4).

use crate::{
    bundle::Bundle,
    verify::{
        VerifyOptions,
        reason::{AbsentPart, Reason},
        record::ExaminedRecord,
        removal::{Judgement, Removals},
        report::{Notice, RecordReport, Report, Standing},
    },
};

/// Judges every record, field by field.
pub(super) fn judge(bundle: &Bundle, records: &[ExaminedRecord], options: &VerifyOptions, report: &mut Report) {
    let removals = Removals::read(bundle, records);
    for examined in records {
        let place = examined.place();
        let (mut standing, mut fields) = (Standing::Intact, Vec::new());
        for (part, judgement) in parts(examined, &removals, report) {
            standing = standing.max(judgement.standing);
            if let (AbsentPart::Field(name), true) = (&part, judgement.standing != Standing::Intact) {
                fields.push((name.clone(), judgement.standing));
            }
            if let Some(reason) = reason(judgement, part, options) {
                report.fail(Some(place), reason);
            }
        }
        if examined.sound().is_none() {
            standing = Standing::Tampered;
        }
        report.records.push(RecordReport { place: place.clone(), proven: examined.is_proven(), standing, fields });
    }
}

/// The parts of a record that can be absent, each with how it stands.
fn parts(examined: &ExaminedRecord, removals: &Removals<'_>, report: &mut Report) -> Vec<(AbsentPart, Judgement)> {
    let Some(record) = examined.sound() else { return Vec::new() };
    let (header, index) = (record.header(), examined.place().index);
    let Some(payload) = record.payload() else {
        let purge = examined.purged_by().unwrap_or(index);
        return vec![(AbsentPart::Payload, removals.payload(index, header, purge))];
    };
    let mut parts = Vec::new();
    for (name, field) in payload.fields() {
        let known = header.kind.fields().iter().any(|spec| spec.name == name.as_str());
        if !known && header.kind.family().is_some() {
            report.notices.push(Notice::UnknownField(examined.place().clone(), name.clone()));
        }
        let judgement = match field.value() {
            Some(_) => removals.present(index, record, name),
            None => removals.field(index, record, name, field.class),
        };
        parts.push((AbsentPart::Field(name.clone()), judgement));
    }
    parts
}

/// Why a standing stands against a proof, unless the caller accepts it.
fn reason(judgement: Judgement, part: AbsentPart, options: &VerifyOptions) -> Option<Reason> {
    let Judgement { standing, why } = judgement;
    match standing {
        Standing::Erased | Standing::Purged => (!options.accept_erased).then_some(Reason::Gone(part)),
        Standing::Withheld => (!options.accept_withheld).then_some(Reason::Withheld(part)),
        Standing::Missing => Some(Reason::Missing(part)),
        Standing::NotProvable => Some(Reason::AbsenceUnknown { part, why }),
        Standing::Unauthorised => Some(Reason::Unauthorised { part, rule: why }),
        Standing::HoldViolation => Some(Reason::HoldViolation(part)),
        Standing::Intact | Standing::NotYetErased | Standing::Tampered => None,
    }
}
