//! Canonical JSON is one form per value: the recogniser, the parser, the writer and serde_json's own scanner agree about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

use std::collections::BTreeMap;

use jit_core::canonical::{self, CanonicalError, Int, MAX_DEPTH, MAX_SAFE_INTEGER, Object, Text, Value, Violation};
use proptest::{collection::vec, prelude::*, sample::select};
use serde::{Deserialize, Serialize};

// --- bounds ---

fn nested(depth: usize) -> (Vec<u8>, Value) {
    let mut bytes = b"[".repeat(depth);
    bytes.extend(b"]".repeat(depth));
    let value = (1..depth).fold(Value::Array(vec![]), |inner, _| Value::Array(vec![inner]));
    (bytes, value)
}

#[test]
fn nesting_is_allowed_up_to_32() {
    let (bytes, value) = nested(MAX_DEPTH);
    assert_eq!(MAX_DEPTH, 32);
    assert_eq!(canonical::recognise(&bytes), Ok(()));
    assert_eq!(Value::parse(&bytes).unwrap(), value);
    assert_eq!(value.to_bytes().unwrap(), bytes);
    assert_eq!(value.check_no_reserved_keys(), Ok(()));
    assert_eq!(canonical::to_value(&value).unwrap(), value);
    assert_eq!(canonical::from_slice::<Value>(&bytes).unwrap(), value);

    let (bytes, value) = nested(MAX_DEPTH + 1);
    let at = CanonicalError::At { violation: Violation::Depth, offset: 32 };
    let built = CanonicalError::Value(Violation::Depth);
    assert_eq!(canonical::recognise(&bytes), Err(at));
    assert_eq!(Value::parse(&bytes), Err(at));
    assert_eq!(value.to_bytes(), Err(built));
    assert_eq!(value.check_no_reserved_keys(), Err(built));
    assert_eq!(canonical::to_value(&value), Err(built));
    assert!(serde_json::from_slice::<Value>(&bytes).is_err());

    let objects = "{\"a\":".repeat(33) + "1" + &"}".repeat(33);
    let at = CanonicalError::At { violation: Violation::Depth, offset: 160 };
    assert_eq!(canonical::recognise(objects.as_bytes()), Err(at));
    assert_eq!(Value::parse(objects.as_bytes()), Err(at));
}

#[test]
fn a_million_brackets_neither_recurse_nor_allocate() {
    for unit in ["[", "{\"\":", "[{\"a\":"] {
        let bytes = unit.repeat(1_000_000).into_bytes();
        assert_eq!(canonical::recognise(&bytes).unwrap_err().violation(), Some(Violation::Depth));
        assert_eq!(Value::parse(&bytes).unwrap_err().violation(), Some(Violation::Depth));
    }
}

/// Anything quadratic would need days for these.
#[test]
fn ten_megabytes_take_linear_time() {
    let escapes = format!("\"{}\"", "\\n".repeat(5_000_000));
    let plain = format!("\"{}\"", "x".repeat(10_000_000));
    let digits = "1".repeat(10_000_000);
    let long_keys: Vec<String> = (0..200).map(|i| format!("\"{}{i:04}\":0", "\\n".repeat(4_000))).collect();
    let long_keys = format!("{{{}}}", long_keys.join(","));
    let many_keys: Vec<String> = (0..50_000).map(|i| format!("\"{i:06}\":0")).collect();
    let many_keys = format!("{{{}}}", many_keys.join(","));
    for text in [&escapes, &plain, &long_keys, &many_keys] {
        assert_eq!(canonical::recognise(text.as_bytes()), Ok(()));
        assert_eq!(Value::parse(text.as_bytes()).unwrap().to_bytes().unwrap(), text.as_bytes());
    }
    let refused = CanonicalError::At { violation: Violation::IntegerRange, offset: 0 };
    assert_eq!(canonical::recognise(digits.as_bytes()), Err(refused));
    assert_eq!(Value::parse(digits.as_bytes()), Err(refused));
}

// --- values ---

#[test]
fn constructors_keep_the_restrictions() {
    assert_eq!(Int::new(MAX_SAFE_INTEGER).unwrap().get(), 9_007_199_254_740_991);
    assert_eq!(Int::new(-MAX_SAFE_INTEGER).unwrap().get(), -9_007_199_254_740_991);
    for int in [MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, i64::MAX, i64::MIN] {
        assert_eq!(Int::new(int), Err(Violation::IntegerRange.into()));
    }
    assert_eq!(Int::try_from(u64::MAX), Err(Violation::IntegerRange.into()));
    assert_eq!(Text::new("a\0b"), Err(Violation::Nul.into()));

    let mut object = Object::new();
    assert!(object.is_empty());
    object.insert("a", Int::from(1_u32).into()).unwrap();
    assert_eq!(object.insert("a", true.into()), Err(Violation::DuplicateKey.into()));
    assert_eq!(object.insert("\0", true.into()), Err(Violation::Nul.into()));
    assert_eq!(object.get("a").and_then(Value::as_int), Some(1));
    assert_eq!((object.len(), object.get("b"), object.get("\0")), (1, None, None));
    assert_eq!(object.remove("a"), Some(Int::from(1_u8).into()));
    assert!(object.is_empty());
}

#[test]
fn reserved_keys_are_found_at_any_level() {
    for text in [r#"{"$a":1}"#, r#"[[{"a":{"$":1}}]]"#, r#"{"a":{"\u0024absent":""}}"#] {
        let value = Value::parse(text.as_bytes()).unwrap();
        assert_eq!(value.check_no_reserved_keys(), Err(Violation::ReservedKey.into()), "{text}");
    }
    for text in [r#"{"a$":"$","b":["$c"]}"#, "\"$\"", "{}"] {
        assert_eq!(Value::parse(text.as_bytes()).unwrap().check_no_reserved_keys(), Ok(()));
    }
}

// --- typed reading and writing ---

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    until: u64,
    note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
    ending: Ending,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Expired,
    Revoked(String),
    Handed(u8, i16),
    Superseded { by: Option<u32>, partly: bool },
}

#[test]
fn types_round_trip_and_leave_out_what_is_absent() {
    let context = Value::parse(br#"{"b":[1,true,"x"],"a":{"$absent":"not_available"}}"#).unwrap();
    for (context, ending, bytes) in [
        (None, Ending::Expired, r#"{"ending":"expired","until":5}"#),
        (None, Ending::Revoked("r".into()), r#"{"ending":{"revoked":"r"},"until":5}"#),
        (None, Ending::Handed(1, -2), r#"{"ending":{"handed":[1,-2]},"until":5}"#),
        (
            Some(context),
            Ending::Superseded { by: None, partly: true },
            r#"{"context":{"a":{"$absent":"not_available"},"b":[1,true,"x"]},"ending":{"superseded":{"partly":true}},"until":5}"#,
        ),
    ] {
        let window = Window { until: 5, note: None, context, ending };
        assert_eq!(canonical::to_bytes(&window).unwrap(), bytes.as_bytes());
        assert_eq!(canonical::from_slice::<Window>(bytes.as_bytes()).unwrap(), window);
        let value = canonical::to_value(&window).unwrap();
        assert_eq!(canonical::from_value::<Window>(&value).unwrap(), window);
    }
}

#[test]
fn types_without_canonical_form_are_refused() {
    #[derive(Serialize)]
    enum Variant {
        Maybe(Option<u8>),
    }
    #[derive(Serialize)]
    struct Twice {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    struct Raw;
    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(b"raw")
        }
    }
    struct Failing;
    impl Serialize for Failing {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("hunter2"))
        }
    }
    let rest = BTreeMap::from([("a".to_owned(), 2)]);
    for (refused, error) in [
        (canonical::to_bytes(&0.5), Violation::Float.into()),
        (canonical::to_bytes(&[1.0_f32]), Violation::Float.into()),
        (canonical::to_bytes(&BTreeMap::from([("a", f64::NAN)])), Violation::Float.into()),
        (canonical::to_bytes(&u64::MAX), Violation::IntegerRange.into()),
        (canonical::to_bytes(&i64::MIN), Violation::IntegerRange.into()),
        (canonical::to_bytes(&(MAX_SAFE_INTEGER + 1)), Violation::IntegerRange.into()),
        (canonical::to_bytes(&None::<u8>), Violation::Null.into()),
        (canonical::to_bytes(&()), Violation::Null.into()),
        (canonical::to_bytes(&[Some(1), None]), Violation::Null.into()),
        (canonical::to_bytes(&Variant::Maybe(None)), Violation::Null.into()),
        (canonical::to_bytes("a\0"), Violation::Nul.into()),
        (canonical::to_bytes(&BTreeMap::from([("\0", 1)])), Violation::Nul.into()),
        (canonical::to_bytes(&Twice { a: 1, rest }), Violation::DuplicateKey.into()),
        (canonical::to_bytes(&BTreeMap::from([(1, 1)])), CanonicalError::Serialize),
        (canonical::to_bytes(&Raw), CanonicalError::Serialize),
        (canonical::to_bytes(&Failing), CanonicalError::Serialize),
    ] {
        assert_eq!(refused, Err(error));
    }
    assert_eq!(canonical::to_bytes(&Variant::Maybe(Some(1))).unwrap(), br#"{"Maybe":1}"#);
    assert_eq!(canonical::to_bytes(&BTreeMap::from([("a", Some(None::<u8>))])).unwrap(), b"{}");
}

#[test]
fn typed_reading_refuses_what_is_not_canonical_or_does_not_fit() {
    let error = canonical::from_slice::<Window>(b"{\"until\":5,\"ending\":\"expired\"}");
    assert_eq!(error.unwrap_err().violation(), Some(Violation::KeyOrder));
    for bytes in [
        &br#"{"ending":"expired"}"#[..],
        br#"{"ending":"hunter2","until":5}"#,
        br#"{"ending":"expired","hunter2":1,"until":5}"#,
        br#"{"ending":"expired","until":"hunter2"}"#,
        br#"{"ending":"expired","until":-1}"#,
    ] {
        let error = canonical::from_slice::<Window>(bytes).unwrap_err();
        assert!(matches!(error, CanonicalError::Deserialize { offset } if offset <= bytes.len()));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let value = Value::parse(bytes).unwrap();
        assert_eq!(canonical::from_value::<Window>(&value), Err(error));
    }
}

#[test]
fn a_number_in_disguise_is_refused() {
    let disguised = br#"{"$serde_json::private::Number":"1.5"}"#;
    assert!(canonical::from_slice::<Value>(disguised).is_err());
    assert_eq!(canonical::from_slice::<Value>(b"15").unwrap(), Int::from(15).into());
}

// --- properties ---

/// Characters at which escaping or the order of keys changes.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => proptest::char::range('a', 'c'),
        2 => proptest::char::range('\u{1}', '\u{22}'),
        2 => select(vec!['"', '\\', '/', '$', '\u{7f}', '\u{80}', '\u{d7ff}', '\u{e000}', '\u{fb33}', '\u{ffff}', '\u{10000}', '\u{1f600}', '\u{10ffff}']),
        1 => any::<char>().prop_filter("u+0000", |char| *char != '\0'),
    ]
}

fn string() -> impl Strategy<Value = String> {
    vec(character(), 0..6).prop_map(String::from_iter)
}

fn value() -> impl Strategy<Value = Value> {
    let int = prop_oneof![
        -12..12_i64,
        -MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER,
        select(vec![MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER]),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        int.prop_map(|int| Int::new(int).unwrap().into()),
        string().prop_map(|text| Value::text(text).unwrap()),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((string(), inner), 0..6).prop_map(|members| {
                let mut object = Object::new();
                for (key, value) in members {
                    object.remove(&key);
                    object.insert(key, value).unwrap();
                }
                object.into()
            }),
        ]
    })
}

/// Writes `value` in one of its many JSON forms, as the `choices` say; all zero gives the canonical one.
fn write_loosely(value: &Value, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    write_space(choices, out);
    match value {
        Value::Bool(bool) => out.push_str(&bool.to_string()),
        Value::Int(int) => out.push_str(&int.get().to_string()),
        Value::Text(text) => write_string(text.as_str(), choices, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_loosely(item, choices, out);
            }
            write_space(choices, out);
            out.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            if choices.next().unwrap_or(0) % 3 == 1 {
                members.reverse();
            }
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_space(choices, out);
                write_string(key, choices, out);
                write_space(choices, out);
                out.push(':');
                write_loosely(value, choices, out);
            }
            write_space(choices, out);
            out.push('}');
        }
    }
    write_space(choices, out);
}

fn write_space(choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push_str(["", "", "", "", "", "", " ", "\n\t\r "][usize::from(choices.next().unwrap_or(0) % 8)]);
}

fn write_string(text: &str, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match (choices.next().unwrap_or(0) % 8, char) {
            (1, '/') => out.push_str("\\/"),
            (2, _) => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            (3, _) => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}"))),
            _ => {
                let quoted = serde_json::to_string(&char).unwrap();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
    }
    out.push('"');
}

/// Pieces of JSON, glued together at random.
fn json_like() -> impl Strategy<Value = String> {
    let token = select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\"",
        "\"a\":",
        "\"b\":",
        "\"\\u0061\":",
        "\"\\n\"",
        "\\u000a",
        "\\u001f",
        "\\ud83d",
        "\\ude00",
        "\\",
        "/",
        "0",
        "1",
        "-",
        ".",
        "e",
        "-0",
        "1.0",
        "9007199254740991",
        "9007199254740992",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "\u{feff}",
        "\u{1f600}",
        "\0",
    ]);
    vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

/// The contract: recognised exactly if the bytes are what the value in them is written as. serde_json's scanner, which shares
/// nothing with ours, has to find the same value.
fn check_agreement(bytes: &[u8]) -> Result<(), TestCaseError> {
    let parsed = Value::parse(bytes);
    let canonical = parsed.as_ref().is_ok_and(|value| value.to_bytes().unwrap() == bytes);
    prop_assert_eq!(canonical::recognise(bytes).is_ok(), canonical);
    let other = serde_json::from_slice::<Value>(bytes);
    prop_assert_eq!(parsed.ok(), other.ok());
    Ok(())
}

/// Every character raw, every escape of a letter and every `\u` escape in both cases.
#[test]
fn every_short_string_is_judged_alike() {
    for byte in 0..=u8::MAX {
        check_agreement(&[b'"', byte, b'"']).unwrap();
        check_agreement(&[b'"', b'\\', byte, b'"']).unwrap();
    }
    for unit in 0..=u16::MAX {
        check_agreement(format!("\"\\u{unit:04x}\"").as_bytes()).unwrap();
        check_agreement(format!("\"\\u{unit:04X}\"").as_bytes()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn written_values_are_recognised_and_read_back(value in value()) {
        let bytes = value.to_bytes().unwrap();
        prop_assert_eq!(canonical::recognise(&bytes), Ok(()));
        prop_assert_eq!(&Value::parse(&bytes).unwrap(), &value);
        prop_assert_eq!(&canonical::to_value(&value).unwrap(), &value);
        prop_assert_eq!(&canonical::from_slice::<Value>(&bytes).unwrap(), &value);
        check_agreement(&bytes)?;
    }

    #[test]
    fn every_form_of_a_value_is_read_as_that_value(value in value(), choices in vec(any::<u8>(), 0..200)) {
        let mut text = String::new();
        write_loosely(&value, &mut choices.into_iter(), &mut text);
        prop_assert_eq!(&Value::parse(text.as_bytes()).unwrap(), &value);
        check_agreement(text.as_bytes())?;
    }

    #[test]
    fn mutated_bytes_are_judged_alike(value in value(), at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..5) {
        let mut bytes = value.to_bytes().unwrap();
        let (at, to) = (at.index(bytes.len()), to.index(bytes.len()));
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            3 => bytes.swap(at, to),
            _ => bytes[at] ^= 1 << (byte % 8),
        }
        check_agreement(&bytes)?;
    }

    #[test]
    fn arbitrary_bytes_are_judged_alike(bytes in vec(any::<u8>(), 0..40)) {
        check_agreement(&bytes)?;
    }

    #[test]
    fn json_like_text_is_judged_alike(text in json_like()) {
        check_agreement(text.as_bytes())?;
    }

    #[test]
    fn strings_are_escaped_as_serde_json_escapes_them(text in string()) {
        prop_assert_eq!(Value::text(&text).unwrap().to_bytes().unwrap(), serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn members_are_in_the_order_of_utf16(keys in vec(string(), 0..8)) {
        let mut object = Object::new();
        for key in &keys {
            object.remove(key);
            object.insert(key, true.into()).unwrap();
        }
        let units: Vec<Vec<u16>> = object.iter().map(|(key, _)| key.encode_utf16().collect()).collect();
        prop_assert!(units.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
