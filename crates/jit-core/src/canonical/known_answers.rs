//! Known answers: what is canonical, what is merely valid, what is refused and where.

use super::{CanonicalError, Value, Violation, recognise};

#[test]
fn canonical_bytes_are_recognised() {
    for text in [
        "true",
        "false",
        "0",
        "-1",
        "9007199254740991",
        "-9007199254740991",
        "\"\"",
        "\"/\u{7f}\u{80}\u{e9}\u{2028}\u{ffff}\u{1f600}\"",
        r#""\b\t\n\f\r\"\\\u0001\u001f""#,
        "[]",
        "{}",
        "[[],{},[1,2]]",
        r#"{"":0,"$absent":"not_available","a":{"a":[]},"b":""}"#,
        r#"{"\n":1,"\u0010":2," ":3,"\"":4,"\\":5,"a":6}"#,
    ] {
        assert_eq!(recognise(text.as_bytes()), Ok(()), "{text}");
        assert_eq!(Value::parse(text.as_bytes()).unwrap().to_bytes().unwrap(), text.as_bytes());
    }
}

#[test]
fn what_breaks_a_restriction_is_refused_by_both() {
    use Violation::{
        Control, DuplicateKey, End, Float, IntegerRange, LoneSurrogate, NegativeZero, Nul, Null, Syntax, Trailing,
    };
    for (text, violation, offset) in [
        ("", End, 0),
        ("[", End, 1),
        ("\"a", End, 2),
        ("{\"a\"", End, 4),
        ("tru", End, 3),
        ("\"\\", End, 2),
        ("-", End, 1),
        ("[1,]", Syntax, 3),
        ("{\"a\":1,}", Syntax, 7),
        ("{a:1}", Syntax, 1),
        ("[1 2]", Syntax, 3),
        ("'a'", Syntax, 0),
        ("+1", Syntax, 0),
        ("-a", Syntax, 1),
        (".5", Syntax, 0),
        ("01", Syntax, 0),
        ("-01", Syntax, 1),
        ("\"\\x\"", Syntax, 2),
        ("\"\\u00g0\"", Syntax, 5),
        ("\"\\u+041\"", Syntax, 3),
        ("trux", Syntax, 3),
        ("NaN", Syntax, 0),
        ("\u{feff}1", Syntax, 0),
        ("1]", Trailing, 1),
        ("{}{}", Trailing, 2),
        ("\"\"\0", Trailing, 2),
        ("\"\t\"", Control, 1),
        ("\"\0\"", Control, 1),
        ("\"\\u0000\"", Nul, 1),
        ("{\"\\u0000\":1}", Nul, 2),
        ("\"\\ud800\"", LoneSurrogate, 1),
        ("\"\\udc00\"", LoneSurrogate, 1),
        ("\"\\ud800\\u0041\"", LoneSurrogate, 1),
        ("\"\\ud800\\ud800\"", LoneSurrogate, 1),
        ("null", Null, 0),
        ("[null]", Null, 1),
        ("{\"a\":null}", Null, 5),
        ("1.0", Float, 0),
        ("[-1.5]", Float, 1),
        ("1e2", Float, 0),
        ("1E+2", Float, 0),
        ("0.0", Float, 0),
        ("-0", NegativeZero, 0),
        ("-0.0", Float, 0),
        ("9007199254740992", IntegerRange, 0),
        ("-9007199254740992", IntegerRange, 0),
        ("99999999999999999999999999999999999999", IntegerRange, 0),
        ("{\"a\":1,\"a\":2}", DuplicateKey, 7),
    ] {
        let expected = CanonicalError::At { violation, offset };
        assert_eq!(Value::parse(text.as_bytes()), Err(expected), "parse {text:?}");
        // The white space of "[1 2]" is the first thing that is not canonical.
        if text != "[1 2]" {
            assert_eq!(recognise(text.as_bytes()), Err(expected), "recognise {text:?}");
        }
    }
}

#[test]
fn what_is_valid_but_not_canonical_is_parsed_and_not_recognised() {
    use Violation::{Escape, KeyOrder, WhiteSpace};
    for (text, violation, offset, bytes) in [
        (" 1", WhiteSpace, 0, "1"),
        ("1\n", WhiteSpace, 1, "1"),
        ("[1, 2]", WhiteSpace, 3, "[1,2]"),
        ("{\"a\":\t1}", WhiteSpace, 5, r#"{"a":1}"#),
        ("{\"a\" :1}", WhiteSpace, 4, r#"{"a":1}"#),
        ("{ }", WhiteSpace, 1, "{}"),
        (r#""\/""#, Escape, 1, "\"/\""),
        (r#""\u0061""#, Escape, 1, "\"a\""),
        (r#""\u000a""#, Escape, 1, r#""\n""#),
        (r#""\u0008""#, Escape, 1, r#""\b""#),
        (r#""\u0022""#, Escape, 1, r#""\"""#),
        (r#""\u005c""#, Escape, 1, r#""\\""#),
        (r#""\u001F""#, Escape, 1, r#""\u001f""#),
        (r#""\u0020""#, Escape, 1, "\" \""),
        (r#""\u007f""#, Escape, 1, "\"\u{7f}\""),
        (r#""\u20ac""#, Escape, 1, "\"\u{20ac}\""),
        (r#""\ud83d\ude00""#, Escape, 1, "\"\u{1f600}\""),
        (r#""\uD83D\uDE00x""#, Escape, 1, "\"\u{1f600}x\""),
        (r#"{"b":1,"a":2}"#, KeyOrder, 7, r#"{"a":2,"b":1}"#),
        (r#"{"a":1,"":2}"#, KeyOrder, 7, r#"{"":2,"a":1}"#),
        (r#"{"a":{"c":1,"b":2}}"#, KeyOrder, 12, r#"{"a":{"b":2,"c":1}}"#),
        ("{\"\u{fb33}\":1,\"\u{1f600}\":2}", KeyOrder, 9, "{\"\u{1f600}\":2,\"\u{fb33}\":1}"),
        // Raw bytes ascend, but the backslash stands for a smaller character.
        (r#"{"A":1,"\n":2}"#, KeyOrder, 7, r#"{"\n":2,"A":1}"#),
    ] {
        let refused = Err(CanonicalError::At { violation, offset });
        assert_eq!(recognise(text.as_bytes()), refused, "{text:?}");
        let written = Value::parse(text.as_bytes()).unwrap().to_bytes().unwrap();
        assert_eq!(written, bytes.as_bytes(), "{text:?}");
        assert_eq!(recognise(&written), Ok(()));
    }
}

#[test]
fn duplicates_are_found_after_unescaping() {
    for text in [r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":1,"b":3,"a":2}"#, r#"{"\/":1,"/":2}"#] {
        let error = Value::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::DuplicateKey), "{text}");
        assert!(recognise(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn invalid_utf8_is_refused_with_its_offset() {
    for bytes in [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf0\x9f\x98\""] {
        let refused = CanonicalError::At { violation: Violation::Utf8, offset: 1 };
        assert_eq!(Value::parse(bytes), Err(refused));
        assert_eq!(recognise(bytes), Err(refused));
    }
}

/// RFC 8785 section 3.2.3.
#[test]
fn keys_sort_as_in_the_example_of_the_rfc() {
    let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let value = Value::parse(text.as_bytes()).unwrap();
    let order: Vec<&str> = value.as_object().unwrap().iter().map(|(_, name)| name.as_str().unwrap()).collect();
    let expected = [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ];
    assert_eq!(order, expected);
    let bytes = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
        \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
        \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(value.to_bytes().unwrap(), bytes.as_bytes());
}
