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

#[cfg(test)]
mod tests {
    use jit_core::{ExternalDigest, Identity, Principal, TokenFacts, TransactionFacts, canonical};

    use super::*;

    #[test]
    fn what_others_say_comes_first_and_what_nobody_else_says_after_it() {
        let value = br#"{"asserted":{"requester":{"by":{"token":"sha256:0505050505050505050505050505050505050505050505050505050505050505"}},
            "owner":{"by":{"registry":"inventory"}},"task":{"by":"requester"},"tool_call":{"by":"requester"},
            "instance":{"$absent":"not_available","reason":"not_reported"}},"tokens":[]}"#;
        let value = canonical::Value::parse(value).unwrap();
        let provenance: Provenance = canonical::from_value(&value).unwrap();
        let digest = "sha256:0505050505050505050505050505050505050505050505050505050505050505";
        let lines = told(&provenance);
        assert_eq!(lines[0], format!("requester as said by token {digest}"));
        assert_eq!(
            lines[1..],
            [
                "owner as said by inventory",
                "task, tool call as said by the requester alone",
                "no instance: not_reported",
            ]
        );
    }

    #[test]
    fn a_token_is_named_with_its_transaction() {
        let digest = ExternalDigest::from_bytes([5; 32]);
        let person = Principal::human(Identity::new("idp", "u-1").unwrap());
        let facts = TokenFacts {
            kind: jit_core::code!("transaction_token"),
            issuer: jit_core::Issuer::new("tokens").unwrap(),
            digest,
            id: None,
            algorithm: jit_core::code!("es256"),
            key: None,
            subject: person.id(),
            actors: Vec::new(),
            issued: None,
            expires: jit_core::Timestamp::MAX,
            transaction: Some(TransactionFacts {
                txn: jit_core::ExternalId::new("txn-9").unwrap(),
                scope: jit_core::Line::new("read").unwrap(),
                workload: None,
            }),
        };
        let provenance = Provenance::of_requester(&person, AssertedBy::Token(digest), vec![facts]).unwrap();
        let line = format!("requester as said by tokens in transaction token {digest} of transaction txn-9");
        assert_eq!(told(&provenance), [line]);
    }
}
