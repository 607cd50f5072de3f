//! Who says so, in words.

use jit_core::{Aspect, Asserted, AssertedBy, Provenance};

use super::one_line;

/// Who asserted what of a requester: one line a source, with the token behind it, and last what nobody but the requester says.
pub(super) fn told(provenance: &Provenance) -> Vec<String> {
    let mut lines: Vec<(AssertedBy, Vec<Aspect>)> = Vec::new();
    let mut absent = Vec::new();
    for (aspect, asserted) in provenance.asserted() {
        match asserted {
            Asserted::By { by } => match lines.iter_mut().find(|(known, _)| known == by) {
                Some((_, aspects)) => aspects.push(*aspect),
                None => lines.push((by.clone(), vec![*aspect])),
            },
            Asserted::Absent(absence) => absent.push(format!("no {}: {}", words(*aspect), absence.reason)),
        }
    }
    lines.sort_by_key(|(by, _)| !by.is_verified());
    let lines = lines.into_iter().map(|(by, aspects)| {
        let aspects: Vec<String> = aspects.into_iter().map(words).collect();
        format!("{} as said by {}", aspects.join(", "), source(provenance, &by))
    });
    lines.chain(absent).collect()
}

fn words(aspect: Aspect) -> String {
    aspect.as_str().replace('_', " ")
}

fn source(provenance: &Provenance, by: &AssertedBy) -> String {
    match by {
        AssertedBy::Requester => "the requester alone".to_owned(),
        AssertedBy::Broker => "the broker".to_owned(),
        AssertedBy::Registry(name) | AssertedBy::Attester(name) => name.to_string(),
        AssertedBy::Token(digest) => match provenance.tokens().iter().find(|token| token.digest == *digest) {
            None => format!("token {digest}"),
            Some(token) => {
                let txn = token.transaction.as_ref().map(|t| format!(" of transaction {}", one_line(t.txn.as_str())));
                let kind = token.kind.as_str().replace('_', " ");
                format!("{} in {kind} {digest}{}", token.issuer, txn.unwrap_or_default())
            }
        },
        other => format!("{other:?}"),
    }
}
