//! Notes are read, verified and written as by an independent implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use jit_log::{Note, NoteError, SignerKey, VerifierKey};
use signed_note::{StandardSigner, StandardVerifier, Verifier, VerifierList};

mod golden;

const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const TEXT: &str = "This is an example message.\n";
const BASE64: &str = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=";

/// What an implementation makes of a note: the number of known keys that signed, or no valid note.
type Verdict = Option<usize>;

fn ours(note: &[u8], vkeys: &[&str]) -> Verdict {
    let keys: Vec<_> = vkeys.iter().map(|vkey| VerifierKey::parse(vkey).unwrap()).collect();
    Some(Note::parse(note).ok()?.verify(&keys).ok()?.len())
}

fn theirs(note: &[u8], vkeys: &[&str]) -> Verdict {
    let verifier = |vkey: &&str| -> Box<dyn Verifier> { Box::new(StandardVerifier::new(vkey).unwrap()) };
    let keys = VerifierList::new(vkeys.iter().map(verifier).collect());
    Some(signed_note::Note::from_bytes(note).ok()?.verify(&keys).ok()?.0.len())
}

#[track_caller]
fn both(note: impl AsRef<[u8]>, vkeys: &[&str], verdict: Verdict) {
    let note = note.as_ref();
    let shown = String::from_utf8_lossy(note);
    assert_eq!(theirs(note, vkeys), verdict, "theirs: {shown:?}");
    assert_eq!(ours(note, vkeys), verdict, "ours: {shown:?}");
}

/// The signature line of the specification's example.
fn line() -> String {
    format!("— example.com/foo {BASE64}\n")
}

#[test]
fn the_vector_of_the_specification() {
    both(format!("{TEXT}\n{}", line()), &[VKEY], Some(1));
    both(format!("{TEXT}\n{}", line()), &[golden::LOG_VKEY], None);
    both(format!("{TEXT}\n{}", line()), &[golden::LOG_VKEY, VKEY], Some(1));
}

#[test]
fn form_of_the_text() {
    let signed = |text: &str| {
        let key = golden::log_key();
        format!("{text}\n{}", key.sign(text))
    };
    for text in [
        "\n",
        "a\n",
        "a\n\n",
        "\n\n\n",
        "a\n\nb\n",
        "— a b\n",
        "é\u{7f}\u{85}\u{a0}\u{2028}\n",
        "a\n\n— a AAAAAAA=\n\nb\n",
    ] {
        both(signed(text), &[golden::LOG_VKEY], Some(1));
    }
    for text in ["a\tb\n", "a\r\n", "a\0\n", "\u{1b}\n", "\u{1f}\n"] {
        both(signed(text), &[golden::LOG_VKEY], None);
    }
    both([b"\xff\xfe\n".as_slice(), line().as_bytes()].concat(), &[VKEY], None);
    both([format!("{TEXT}\n{}", line()).as_bytes(), b"\xff"].concat(), &[VKEY], None);
}

#[test]
fn form_of_the_signature_lines() {
    let reject = [
        String::new(),
        "\n".to_owned(),
        line().trim_end().to_owned(),
        format!("{}\n", line()),
        format!("\n{}", line()),
        format!("{}x\n", line()),
        line().replace('—', "-"),
        line().replace('—', "–"),
        line().replace("— ", "—"),
        line().replace("— ", "—  "),
        line().replace("— ", " — "),
        line().replace("foo ", "foo  "),
        line().replace("foo ", "foo\t"),
        line().replace("foo ", "foo\u{a0}"),
        line().replace("foo", ""),
        line().replace("example.com/foo", ""),
        line().replace("foo", "f+o"),
        line().replace("foo", "f\u{2003}o"),
        line().replace("=\n", "\n"),
        line().replace("=\n", "==\n"),
        line().replace("=\n", " =\n"),
        line().replace("QM=\n", "QN=\n"),
        line().replace("QM=\n", "QM=AAAA\n"),
        line().replace("QM=\n", "QM=AA==\n"),
        line().replace('/', "_"),
        line().replace('\n', "\r\n"),
        "— example.com/foo\n".to_owned(),
        "— example.com/foo \n".to_owned(),
        "— example.com/foo Uw2QOg==\n".to_owned(),
        "— example.com/foo Uw0=\n".to_owned(),
        "— example.com/foo Uw2QOgA=\n".to_owned(),
    ];
    for lines in reject {
        both(format!("{TEXT}\n{lines}"), &[VKEY], None);
    }
    both(format!("{TEXT}{}", line()), &[VKEY], None);
    both(line(), &[VKEY], None);
    both("", &[VKEY], None);
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_be_right() {
    let other_name = line().replace("foo", "bar");
    let other_id = line().replace("Uw2Q", "Uw2R");
    let wrong = line().replace("QM=", "QI=").replace("n8sr", "n8ss");
    let unknown = "— witness.example/w1 AAAAAAA=\n".to_owned();
    for (lines, verdict) in [
        (other_name.clone(), None),
        (other_id.clone(), None),
        (unknown.clone(), None),
        (wrong.clone(), None),
        ([other_name.clone(), line()].concat(), Some(1)),
        ([other_id, line()].concat(), Some(1)),
        ([unknown.clone(), line(), unknown.clone()].concat(), Some(1)),
        ([unknown.repeat(15), line()].concat(), Some(1)),
        ([wrong.clone(), line()].concat(), None),
        ([line(), line()].concat(), Some(1)),
    ] {
        both(format!("{TEXT}\n{lines}"), &[VKEY], verdict);
    }
    let text = TEXT.replace("message", "massage");
    both(format!("{text}\n{}", line()), &[VKEY], None);
    both(format!("{TEXT}\n{}{}", line(), golden::log_key().sign(TEXT)), &[VKEY, golden::LOG_VKEY], Some(2));
}

/// Where we are stricter: of two lines by one key the other implementation looks only at the first.
#[test]
fn a_second_and_wrong_signature_by_a_known_key_is_not_passed_over() {
    let wrong = line().replace("n8sr", "n8ss");
    let note = format!("{TEXT}\n{}{wrong}", line());
    assert_eq!(theirs(note.as_bytes(), &[VKEY]), Some(1));
    let key = VerifierKey::parse(VKEY).unwrap();
    let note = Note::parse(note.as_bytes()).unwrap();
    assert!(matches!(note.verify([&key]), Err(NoteError::BadSignature { .. })));
}

#[test]
fn form_of_keys() {
    assert!(StandardVerifier::new(VKEY).is_ok() && VerifierKey::parse(VKEY).is_ok());
    for vkey in [
        String::new(),
        "example.com/foo".to_owned(),
        VKEY.replace('+', ""),
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530d903"),
        VKEY.replace("530d903a", "0530d903a"),
        VKEY.replace("foo", "bar"),
        VKEY.replace("example.com/foo", ""),
        VKEY.replace("U2k", "U2l"),
        VKEY.replace("U2k", "U2k="),
        VKEY.replace("+AekyeRrm", "+Ae==keRrm"),
        VKEY.replace("U2k", ""),
        VKEY.replace("+Aeky", "+Auky"),
        VKEY.replace("com/foo", "com foo"),
        format!("{VKEY}\n"),
        format!(" {VKEY}"),
    ] {
        assert!(StandardVerifier::new(&vkey).is_err(), "theirs: {vkey:?}");
        assert!(VerifierKey::parse(&vkey).is_err(), "ours: {vkey:?}");
    }
    let secret = golden::log_key().encode();
    assert!(StandardSigner::new(&secret).is_ok());
    for secret in [
        secret.replace("PRIVATE", "PUBLIC"),
        secret.replace("golden", "silver"),
        secret.replace("74299023", "74299024"),
        secret[..secret.len() - 4].to_owned(),
        format!("{}\n", *secret),
    ] {
        assert!(StandardSigner::new(&secret).is_err(), "theirs");
        assert!(SignerKey::parse(&secret).is_err(), "ours");
    }
}

#[test]
fn each_verifies_what_the_other_signs() {
    let key = golden::log_key();
    for text in [TEXT, "first line\n\nafter a blank line\n"] {
        let ours = Note::sign(text, &[&key]).unwrap();
        both(ours.to_bytes(), &[golden::LOG_VKEY], Some(1));

        let signer = StandardSigner::new(&key.encode()).unwrap();
        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&signer]).unwrap();
        assert_eq!(theirs.to_bytes(), ours.to_bytes());
    }
    for text in ["", "no newline", "tab\t\n", "return\r\n"] {
        let theirs = signed_note::Note::new(text.as_bytes(), &[]);
        assert!(theirs.is_err() && Note::sign(text, &[&key]).is_err(), "{text:?}");
    }
}
