//! A trust policy is read strictly, and accepts what its logs have signed and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use jit_log::{
    Checkpoint, CosignatureTime, CosignerKey, Hash, KeyError, KeyName, Note, NoteError, Origin, PolicyError,
    PolicyLineError, SignerKey, TrustError, TrustPolicy, VerifierKey,
};

fn origin(name: &str) -> Origin {
    Origin::parse(name).unwrap()
}

fn log(name: &str, seed: u8) -> SignerKey {
    SignerKey::from_seed(origin(name), [seed; 32])
}

fn witness(seed: u8) -> CosignerKey {
    CosignerKey::from_seed(KeyName::parse("witness.example/w").unwrap(), [seed; 32])
}

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::new(origin(name), 3, Hash::from_bytes([9; 32])).unwrap()
}

fn time(seconds: u64) -> CosignatureTime {
    CosignatureTime::from_unix_seconds(seconds).unwrap()
}

fn policy(text: &str) -> TrustPolicy {
    TrustPolicy::parse(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// The error in the last of the lines.
#[track_caller]
fn refused(lines: &[String]) -> PolicyLineError {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match TrustPolicy::parse(&text) {
        Err(PolicyError::Line { line, source }) if line == lines.len() => source,
        other => panic!("{other:?}:\n{text}"),
    }
}

fn witness_line(name: &str, seed: u8) -> String {
    format!("witness {name} {}", witness(seed).verifier())
}

#[test]
fn the_example_of_the_format_is_read_and_written() {
    let log = log("log.example/a", 1).verifier();
    let witnesses: String = (2..8u8)
        .zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"])
        .map(|(seed, name)| format!("{}\n", witness_line(name, seed)))
        .collect();
    let groups = "group X 2 X1 X2 X3\ngroup Y 1 Y1 Y2 Y3\ngroup X-and-Y 2 X Y\nquorum X-and-Y\n";
    let canonical = format!("log {log} https://log.example/\n{witnesses}{groups}");
    let written = canonical
        .replace("group Y 1", "group Y any")
        .replace("group X-and-Y 2", "\t group\tX-and-Y  all")
        .replace("quorum", "\n  # what it takes é\n\nquorum");
    assert_ne!(written, canonical);
    assert_eq!(policy(&written).to_text(), canonical);
    assert_eq!(policy(&written).log_keys().collect::<Vec<_>>(), [&log]);
    assert_eq!(policy(&canonical).witness_keys().count(), 6);
}

#[test]
fn each_rule_of_the_format_is_kept() {
    use PolicyLineError as E;
    let log_line = |seed| format!("log {}", log("log.example/a", seed).verifier());
    let w = || witness_line("w", 2);
    let line = str::to_owned;
    for (lines, error) in [
        (vec![line("logs x")], E::Keyword),
        (vec![line("Quorum none")], E::Keyword),
        (vec![line("log")], E::Items),
        (vec![format!("{} url more", log_line(1))], E::Items),
        (vec![line("witness w")], E::Items),
        (vec![line("group g")], E::Items),
        (vec![line("quorum")], E::Items),
        (vec![line("quorum none none")], E::Items),
        (vec![line("quorum none\r")], E::ControlCharacter),
        (vec![line("# \u{7f}")], E::ControlCharacter),
        (vec![line("log x+y")], E::Key(KeyError::Format)),
        (vec![format!("log {}", witness(2).verifier())], E::LogKeyType),
        (vec![format!("witness w {}", log("log.example/a", 1).verifier())], E::WitnessKeyType),
        (vec![log_line(1), format!("log {}", log("log.example/b", 1).verifier())], E::DuplicateKey),
        (vec![w(), witness_line("v", 2)], E::DuplicateKey),
        (vec![log_line(2), w()], E::DuplicateKey),
        (vec![w(), witness_line("w", 3)], E::DuplicateName(line("w"))),
        (vec![w(), line("group w any w")], E::DuplicateName(line("w"))),
        (vec![witness_line("none", 2)], E::DuplicateName(line("none"))),
        (vec![w(), line("group none any w")], E::DuplicateName(line("none"))),
        (vec![line("group g any w")], E::UnknownName(line("w"))),
        (vec![w(), line("group g any none")], E::UnknownName(line("none"))),
        (vec![w(), line("group g any w g")], E::UnknownName(line("g"))),
        (vec![line("quorum w")], E::UnknownName(line("w"))),
        (vec![w(), line("group g any w w")], E::MemberTwice(line("w"))),
        (vec![w(), line("group g any w"), line("group h any w")], E::MemberTwice(line("w"))),
        (vec![w(), line("group g any")], E::Threshold),
        (vec![w(), line("group g 0 w")], E::Threshold),
        (vec![w(), line("group g 2 w")], E::Threshold),
        (vec![w(), line("group g 01 w")], E::Threshold),
        (vec![w(), line("group g some w")], E::Threshold),
        (vec![line("quorum none"), line("quorum none")], E::SecondQuorum),
    ] {
        assert_eq!(refused(&lines), error, "{lines:?}");
    }
    assert_eq!(TrustPolicy::parse(""), Err(PolicyError::NoQuorum));
    assert_eq!(TrustPolicy::parse(&format!("{}\n", log_line(1))), Err(PolicyError::NoQuorum));
    assert_eq!(TrustPolicy::parse("quorum none"), Err(PolicyError::Unterminated));
    let cosigner = witness(2).verifier();
    assert_eq!(TrustPolicy::new_log_only(cosigner), Err(E::LogKeyType));
}

#[test]
fn a_quorum_must_have_cosigned() {
    let (log, one, two) = (log("log.example/a", 1), witness(2), witness(3));
    let checkpoint = checkpoint("log.example/a");
    let keys = format!("log {}\nwitness v {}\nwitness w {}\n", log.verifier(), one.verifier(), two.verifier());
    let signed = checkpoint.sign(&[&log]).unwrap();
    let mut cosigned = signed.clone();
    cosigned.push(two.cosign(&checkpoint, time(1))).unwrap();
    for (quorum, name, met) in [
        ("quorum none\n", None, true),
        ("quorum w\n", Some("w"), true),
        ("quorum v\n", Some("v"), false),
        ("group g any v w\nquorum g\n", Some("g"), true),
        ("group g all v w\nquorum g\n", Some("g"), false),
        ("group g 2 v w\ngroup h any g\nquorum h\n", Some("h"), false),
    ] {
        let policy = policy(&format!("{keys}{quorum}"));
        assert_eq!(policy.quorum_name(), name);
        let refusal = |cosigned| TrustError::QuorumNotMet { quorum: name.unwrap().to_owned(), cosigned };
        match policy.verify(&cosigned.to_bytes()) {
            Ok(verified) => {
                assert!(met, "{quorum}");
                let seen: Vec<_> = verified.cosignatures().iter().map(|seen| (seen.key_id(), seen.time())).collect();
                assert_eq!(seen, [(two.verifier().id(), time(1))]);
            }
            Err(error) => assert_eq!((met, error), (false, refusal(1)), "{quorum}"),
        }
        if name.is_some() {
            assert_eq!(policy.verify(&signed.to_bytes()), Err(refusal(0)));
        }
        assert!(policy.without_quorum().verify(&signed.to_bytes()).is_ok());
        // Cosignatures alone are no checkpoint, quorum or not.
        let unsigned = format!("{}\n{}", checkpoint.to_text(), two.cosign(&checkpoint, time(1)));
        let refused = TrustError::NotSignedByLog { origin: origin("log.example/a") };
        assert_eq!(policy.verify(unsigned.as_bytes()), Err(refused));
    }
}

#[test]
fn a_wrong_cosignature_of_a_known_witness_refuses_what_the_others_would_carry() {
    let (log, one, two) = (log("log.example/a", 1), witness(2), witness(3));
    let checkpoint = checkpoint("log.example/a");
    let keys = format!("log {}\nwitness v {}\nwitness w {}\n", log.verifier(), one.verifier(), two.verifier());
    let policy = policy(&format!("{keys}group g any v w\nquorum g\n"));
    let mut note = checkpoint.sign(&[&log]).unwrap();
    note.push(one.cosign(&checkpoint, time(1))).unwrap();
    assert!(policy.verify(&note.to_bytes()).is_ok());
    let other = Checkpoint::new(origin("log.example/a"), 4, Hash::from_bytes([9; 32])).unwrap();
    note.push(two.cosign(&other, time(1))).unwrap();
    let refused = policy.verify(&note.to_bytes());
    assert!(matches!(refused, Err(TrustError::Note(NoteError::BadSignature { .. }))), "{refused:?}");
}

#[test]
fn the_log_that_signs_must_be_the_log_that_is_named() {
    let (a, b) = (log("log.example/a", 1), log("log.example/b", 2));
    let of_a = checkpoint("log.example/a");
    let unknown = TrustError::UnknownLog { origin: origin("log.example/a") };
    let only = |key: &SignerKey| TrustPolicy::new_log_only(key.verifier()).unwrap();
    let by_a = of_a.sign(&[&a]).unwrap().to_bytes();
    assert_eq!(only(&b).verify(&by_a), Err(unknown));
    assert_eq!(policy("quorum none\n").verify(&by_a).unwrap_err().to_string(), "log log.example/a is not trusted");

    // A trusted log may not speak for another trusted log.
    let both = policy(&format!("log {}\nlog {}\nquorum none\n", a.verifier(), b.verifier()));
    let by_b = Note::sign(&of_a.to_text(), &[&b]).unwrap().to_bytes();
    assert_eq!(both.verify(&by_b), Err(TrustError::NotSignedByLog { origin: origin("log.example/a") }));
    assert!(of_a.sign(&[&b]).is_err());

    // Nor may a witness.
    let witness = witness(3);
    let with_witness = policy(&format!("log {}\nwitness w {}\nquorum none\n", a.verifier(), witness.verifier()));
    let cosignature = witness.cosign(&of_a, time(1));
    let by_witness = format!("{}\n{cosignature}", of_a.to_text());
    let refusal = with_witness.verify(by_witness.as_bytes());
    assert_eq!(refusal, Err(TrustError::NotSignedByLog { origin: origin("log.example/a") }));

    // Nor another key of the same name.
    let impostor = log("log.example/a", 4);
    let forged = of_a.sign(&[&impostor]).unwrap().to_bytes();
    assert_eq!(only(&a).verify(&forged), Err(TrustError::Note(NoteError::NotSigned)));
    assert!(matches!(only(&a).verify(b"log.example/a\n"), Err(TrustError::Note(_))));
    let no_checkpoint = Note::sign("log.example/a\n", &[&a]).unwrap().to_bytes();
    assert!(matches!(only(&a).verify(&no_checkpoint), Err(TrustError::Checkpoint(_))));
}

#[test]
fn either_key_of_a_log_will_do_while_it_is_rotated() {
    let (old, new) = (log("log.example/a", 1), log("log.example/a", 2));
    let checkpoint = checkpoint("log.example/a");
    let both = policy(&format!("log {}\nlog {}\nquorum none\n", old.verifier(), new.verifier()));
    for (signers, keys) in [
        (vec![&old], vec![old.verifier()]),
        (vec![&new], vec![new.verifier()]),
        (vec![&old, &new], vec![old.verifier(), new.verifier()]),
    ] {
        let note = checkpoint.sign(&signers).unwrap();
        let verified = both.verify(&note.to_bytes()).unwrap();
        assert_eq!(verified.log_keys(), keys);
        assert_eq!(*verified.checkpoint(), checkpoint);
        assert_eq!(verified.note(), note.to_bytes());
    }
}

#[test]
fn only_known_witnesses_are_counted_and_each_once() {
    let log = log("log.example/a", 1);
    let (known, stranger) = (witness(2), witness(3));
    let checkpoint = checkpoint("log.example/a");
    let trust = policy(&format!("log {}\nwitness w {}\nquorum none\n", log.verifier(), known.verifier()));
    let mut note = checkpoint.sign(&[&log]).unwrap();
    note.push(stranger.cosign(&checkpoint, time(5))).unwrap();
    assert_eq!(trust.verify(&note.to_bytes()).unwrap().cosignatures(), []);
    note.push(known.cosign(&checkpoint, time(6))).unwrap();
    note.push(known.cosign(&checkpoint, time(7))).unwrap();
    let verified = trust.verify(&note.to_bytes()).unwrap();
    let seen: Vec<_> = verified.cosignatures().iter().map(|seen| (seen.key_id(), seen.time())).collect();
    assert_eq!(seen, [(known.verifier().id(), time(6))]);

    // A cosignature of another checkpoint refuses the note, and a log's signature is no cosignature.
    let other = Checkpoint::new(origin("log.example/a"), 4, Hash::from_bytes([9; 32])).unwrap();
    note.push(known.cosign(&other, time(8))).unwrap();
    assert!(matches!(trust.verify(&note.to_bytes()), Err(TrustError::Note(NoteError::BadSignature { .. }))));
    assert_eq!(CosignatureTime::from_unix_seconds(1 << 63), None);
}

#[test]
fn keys_of_low_order_are_refused() {
    let weak = "example.org/log+b9ebf168+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(VerifierKey::parse(weak), Err(KeyError::PublicKey));
}
