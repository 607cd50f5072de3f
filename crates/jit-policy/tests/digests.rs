//! The digests of a snapshot and an input are the same in every process, and change with whatever they cover.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{
    collections::BTreeSet,
    env,
    process::{Command, Stdio},
};

use jit_core::*;
use jit_policy::*;
use support::*;

const PRINT: &str = "JIT_POLICY_DIGESTS";

fn digests() -> String {
    let input = input("db:prod/orders", &["read", "write"]);
    let bytes = String::from_utf8(input.as_bytes().to_vec()).unwrap();
    format!("digests: {} {:?} {bytes}", document().digest(), input.digest())
}

#[test]
fn a_hundred_processes_compute_the_same() {
    if env::var_os(PRINT).is_some() {
        println!("{}", digests());
        return;
    }
    let own = env::current_exe().unwrap();
    let spawn = || {
        Command::new(&own)
            .args(["--exact", "a_hundred_processes_compute_the_same", "--nocapture"])
            .env(PRINT, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let expected = digests();
    for _ in 0..25 {
        for child in [spawn(), spawn(), spawn(), spawn()] {
            let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            assert!(printed.lines().any(|line| line.ends_with(&expected)), "{printed}\nis not\n{expected}");
        }
    }
}

#[test]
fn a_policy_digest_is_the_published_construction() {
    let manifest = canonical::to_bytes(document().manifest()).unwrap();
    let file = blake3::derive_key(FILE_CONTEXT, b"a b c");
    let text = format!(
        r#"{{"engine":"fixed","entrypoint":"decide","files":[{{"digest":"{}","length":5,"path":"rules"}}],"language":"1","rules":[{{"id":"a"}},{{"id":"b"}},{{"id":"c"}}]}}"#,
        FileDigest::from_bytes(file)
    );
    assert_eq!(String::from_utf8(manifest.clone()).unwrap(), text);
    let digest = PolicyDigest::from_bytes(blake3::derive_key("jit-evidence/1 policy", &manifest));
    assert_eq!(document().digest(), digest);
}

#[test]
fn whatever_a_manifest_says_changes_its_digest() {
    let of = |engine: &str, language: &str, schema: bool, path: &str, bytes: &[u8], rules: &[&str]| {
        let target = Target {
            engine: Code::new(engine).unwrap(),
            language: Version::new(language).unwrap(),
            entrypoint: code!("decide"),
        };
        let path = FilePath::new(path).unwrap();
        let bundle = PolicyBundle::new(target, schema.then(|| path.clone()), [(path, bytes.to_vec())]).unwrap();
        SnapshotDocument::new(bundle, &rules.iter().map(|r| rule(r)).collect()).unwrap().digest()
    };
    let all = [
        of("fixed", "1", false, "rules", b"a b c", &["a", "b", "c"]),
        of("other", "1", false, "rules", b"a b c", &["a", "b", "c"]),
        of("fixed", "2", false, "rules", b"a b c", &["a", "b", "c"]),
        of("fixed", "1", true, "rules", b"a b c", &["a", "b", "c"]),
        of("fixed", "1", false, "rules2", b"a b c", &["a", "b", "c"]),
        of("fixed", "1", false, "rules", b"a b d", &["a", "b", "c"]),
        of("fixed", "1", false, "rules", b"a b c", &["a", "b"]),
    ];
    assert_eq!(all[0], document().digest());
    assert_eq!(BTreeSet::from(all).len(), all.len());
}

#[test]
fn whatever_an_input_says_changes_its_digest() {
    let parts = input("db:prod/orders", &["read"]).parts().clone();
    let changed = |change: fn(&mut InputParts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        CanonicalInput::new(parts).unwrap().digest()
    };
    let all = BTreeSet::from([
        changed(|_| ()),
        changed(|p| p.subject = EntityUid::new("human", "idp|bob").unwrap()),
        changed(|p| p.actions.extend([Action::new("write").unwrap()])),
        changed(|p| p.resource = EntityUid::new("resource", "db:prod").unwrap()),
        changed(|p| p.context.now += 1),
        changed(|p| p.context.purpose = EvaluationPurpose::Issuance),
        changed(|p| p.context.break_glass = true),
        changed(|p| p.context.on_behalf_of = Some(p.context.recipient.clone())),
        changed(|p| drop(p.entities.pop())),
        changed(|p| {
            let source = SystemName::new("tickets").unwrap();
            let value = canonical::Value::Bool(true);
            p.facts.insert(code!("on_call"), Fact { value, source, fetched_at: now() });
        }),
        changed(|p| p.unavailable.push(Unavailable { source: SystemName::new("x").unwrap(), code: code!("away") })),
    ]);
    assert_eq!(all.len(), 11);
}

#[test]
fn what_is_recorded_is_what_is_read_back() {
    let input = input("db:prod/orders", &["read"]);
    assert_eq!(CanonicalInput::parse(input.as_bytes()).unwrap(), input);
    assert_eq!(CanonicalInput::from_value(input.as_value()).unwrap(), input);
    let document = document();
    assert_eq!(SnapshotDocument::parse(&document.to_bytes().unwrap()).unwrap(), document);
}
