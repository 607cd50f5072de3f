//! Every kind of record: written, read back, erased; and golden vectors of the bytes, for verifiers in other languages.
//!
//! `tests/vectors/kinds.json` has the fields of one record of each kind, by hand. `tests/vectors/records.json` has what
//! follows from them: payload, field digests, commitment, header bytes and leaf hash. It is written anew by
//! `JIT_WRITE_VECTORS=1 cargo test -p jit-core --test record_vectors`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::collections::BTreeMap;

use jit_core::canonical::{Object, Value};
use jit_core::*;
use world::{at, retain};

const KINDS: &str = include_str!("vectors/kinds.json");
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/records.json");

fn example(kind: &Kind) -> Object {
    let Value::Object(kinds) = Value::parse(KINDS.as_bytes()).unwrap() else { panic!() };
    kinds.get(kind.as_str()).and_then(Value::as_object).unwrap_or_else(|| panic!("no example of {kind}")).clone()
}

fn stream(kind: &Kind) -> StreamId {
    match kind.family().unwrap() {
        StreamFamily::Case | StreamFamily::CaseOrOps => StreamId::Case(CaseId::v8([1; 16])),
        StreamFamily::Entitlement => StreamId::Entitlement(EntitlementId::v8([2; 16])),
        StreamFamily::Gov => StreamId::Gov,
        StreamFamily::Erasure => StreamId::Erasure,
        StreamFamily::Policy => StreamId::Policy,
        StreamFamily::Ops => StreamId::Ops(WriterId::v8([3; 16])),
    }
}

/// The record of an example, number `i` of the vectors, put together by hand from the format's rules.
fn record(i: u8, kind: &Kind) -> Record {
    let example = example(kind);
    let id = RecordId::v7(at(u64::from(i)), [i; 10]);
    let mut facts = Object::new();
    let mut fields = BTreeMap::new();
    for (spec, salt) in kind.fields().iter().zip(1u8..) {
        let value = example.get(spec.name).unwrap_or_else(|| panic!("{kind} has no example of {}", spec.name)).clone();
        let class = match spec.place {
            FieldPlace::Fact => {
                facts.insert(spec.name, value).unwrap();
                continue;
            }
            FieldPlace::Keep => FieldClass::Keep,
            FieldPlace::Personal => FieldClass::Personal,
        };
        let salt = Salt::from_bytes([salt; 32]);
        fields.insert(spec.name.parse().unwrap(), Field { class, content: FieldContent::Present { salt, value } });
    }
    let payload = Payload::new(fields).unwrap();
    let prev = (i > 0).then(|| LeafHash::from_bytes([i; 32]));
    let header = Header {
        v: FormatVersion::V1,
        log: "log.example/test".parse().unwrap(),
        id,
        stream: stream(kind),
        n: u64::from(i),
        prev,
        kind: kind.clone(),
        at: at(u64::from(i)),
        clock: ClockInfo { source: ClockSource::new("ntp").unwrap(), error_us: 1500 },
        writer: WriterId::v8([9; 16]),
        refs: Refs {
            request: Some(CaseId::v8([1; 16])),
            cause: prev,
            approvals: prev.into_iter().collect(),
            ..Refs::default()
        },
        retain: retain(),
        facts: (!facts.is_empty()).then_some(Value::Object(facts)),
        payload: payload.commitment(id).unwrap(),
    };
    Record::parse(header.to_bytes().unwrap(), Some(&payload.to_bytes().unwrap())).unwrap()
}

fn records() -> impl Iterator<Item = (Kind, Record)> {
    Kind::ALL.iter().zip(0u8..).map(|(kind, i)| (kind.clone(), record(i, kind)))
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    for (kind, record) in records() {
        let event = record.event().unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(event.kind(), kind);
        let mut written = event.facts().unwrap().unwrap_or_default();
        for (name, class, value) in event.fields().unwrap() {
            assert_eq!(record.payload().unwrap().fields()[&name.parse().unwrap()].class, class, "{kind} {name}");
            written.insert(name, value).unwrap();
        }
        assert_eq!(written, example(&kind), "{kind}");

        let again = Record::parse(record.header_bytes().to_vec(), Some(&record.payload().unwrap().to_bytes().unwrap()));
        assert_eq!(again.unwrap(), record);
        assert_eq!(kind.as_str().parse::<Kind>(), Ok(kind));
    }
}

#[test]
fn erasing_what_is_personal_leaves_the_rest_readable() {
    let mut erased = 0;
    for (kind, record) in records() {
        let personal = kind.fields().iter().filter(|f| f.place == FieldPlace::Personal);
        let names: Vec<&str> = personal.map(|f| f.name).collect();
        let left = world::forge::without(&record, &names);
        assert_eq!(left.leaf(), record.leaf());
        let event = left.event().unwrap_or_else(|error| panic!("{kind}: {error}"));
        let fields: Vec<&str> = event.fields().unwrap().into_iter().map(|(name, ..)| name).collect();
        assert!(names.iter().all(|name| !fields.contains(name)), "{kind}");
        assert_eq!(event.facts().unwrap(), record.event().unwrap().facts().unwrap());
        erased += names.len();

        let kept = kind.fields().iter().find(|f| f.place == FieldPlace::Keep);
        if let Some(kept) = kept {
            let left = world::forge::without(&record, &[kept.name]);
            assert_eq!(left.event(), Err(EventError::Absent(kept.name)));
            assert_eq!(world::forge::purged(&record).event(), Err(EventError::Purged));
        }
    }
    assert!(erased > 10, "{erased}");
}

#[test]
fn facts_are_a_closed_schema() {
    for (kind, record) in records() {
        let mut header = record.header().clone();
        let mut facts = header.facts.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        facts.insert("extra", Value::Bool(true)).unwrap();
        header.facts = Some(Value::Object(facts));
        let payload = record.payload().unwrap().to_bytes().unwrap();
        let forged = Record::parse(header.to_bytes().unwrap(), Some(&payload)).unwrap();
        assert_eq!(forged.event(), Err(EventError::UnknownFact(kind.to_string())));
    }
}

#[test]
fn a_field_that_is_missing_or_malformed_is_an_error_of_its_kind() {
    for (kind, record) in records() {
        for spec in kind.fields().iter().filter(|f| f.place == FieldPlace::Keep) {
            let mut fields = record.payload().unwrap().fields().clone();
            let salt = Salt::from_bytes([0; 32]);
            // No field of any kind is an array of arrays.
            let value = Value::Array(vec![Value::Array(vec![])]);
            fields.get_mut(&spec.name.parse().unwrap()).unwrap().content = FieldContent::Present { salt, value };
            let payload = Payload::new(fields).unwrap();
            let mut header = record.header().clone();
            header.payload = payload.commitment(header.id).unwrap();
            let forged = Record::parse(header.to_bytes().unwrap(), Some(&payload.to_bytes().unwrap())).unwrap();
            assert!(matches!(forged.event(), Err(EventError::Malformed(_))), "{kind} {}", spec.name);
        }
    }
}

#[test]
fn digests_follow_the_formulas_of_the_format() {
    for (kind, record) in records() {
        let id = record.header().id;
        let mut listing = Object::new();
        for (name, field) in record.payload().unwrap().fields() {
            let FieldContent::Present { salt, value } = &field.content else { panic!() };
            let mut hasher = blake3::Hasher::new_derive_key("jit-evidence/1 field");
            hasher.update(salt.as_bytes()).update(id.as_bytes());
            hasher.update(&u16::try_from(name.as_str().len()).unwrap().to_be_bytes()).update(name.as_str().as_bytes());
            hasher.update(&value.to_bytes().unwrap());
            let digest = FieldDigest::from_bytes(*hasher.finalize().as_bytes());
            assert_eq!(field.digest(id, name).unwrap(), digest);
            let mut entry = Object::new();
            entry.insert("c", canonical::to_value(&field.class).unwrap()).unwrap();
            entry.insert("d", Value::text(digest.to_string()).unwrap()).unwrap();
            listing.insert(name.as_str(), Value::Object(entry)).unwrap();
        }
        let mut hasher = blake3::Hasher::new_derive_key("jit-evidence/1 payload");
        hasher.update(&Value::Object(listing).to_bytes().unwrap());
        assert_eq!(record.header().payload, Commitment::from_bytes(*hasher.finalize().as_bytes()), "{kind}");
        assert_eq!(record.leaf(), jit_log::leaf_hash(record.header_bytes()).into());
    }
}

fn vector(kind: &Kind, record: &Record) -> Value {
    let text = |bytes: &[u8]| Value::text(std::str::from_utf8(bytes).unwrap()).unwrap();
    let shown = |t: &dyn std::fmt::Display| Value::text(t.to_string()).unwrap();
    let payload = record.payload().unwrap();
    let mut digests = Object::new();
    for (name, field) in payload.fields() {
        digests.insert(name.as_str(), shown(&field.digest(record.header().id, name).unwrap())).unwrap();
    }
    let mut vector = Object::new();
    for (key, value) in [
        ("kind", shown(kind)),
        ("header", text(record.header_bytes())),
        ("payload", text(&payload.to_bytes().unwrap())),
        ("fields", Value::Object(digests)),
        ("commitment", shown(&record.header().payload)),
        ("leaf", shown(&record.leaf())),
    ] {
        vector.insert(key, value).unwrap();
    }
    Value::Object(vector)
}

#[test]
fn the_golden_vectors_still_hold() {
    let lines: Vec<String> = records()
        .map(|(kind, record)| String::from_utf8(vector(&kind, &record).to_bytes().unwrap()).unwrap())
        .collect();
    let vectors = format!("[\n{}\n]\n", lines.join(",\n"));
    if std::env::var_os("JIT_WRITE_VECTORS").is_some() {
        std::fs::write(RECORDS, &vectors).unwrap();
    }
    let golden = std::fs::read_to_string(RECORDS).unwrap();
    for (now, then) in vectors.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(vectors.len(), golden.len());
}
