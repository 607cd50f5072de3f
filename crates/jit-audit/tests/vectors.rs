//! The test vectors in `tests/vectors`: bundles good and bad with the verdicts they must get, for verifiers in any language.
//!
//! Everything in them is fixed: clock, randomness, keys. `JIT_AUDIT_WRITE_VECTORS=1 cargo test -p jit-audit --test vectors`
//! writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{collections::BTreeMap, fs, path::PathBuf};

use jit_audit::{Bundle, VerifyOptions, verify};
use jit_core::canonical::Value;
use support::{Plan, World};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Every vector by name, with the verdict and the index of the record that fails, if one does.
async fn vectors() -> (String, BTreeMap<&'static str, Vec<u8>>) {
    let world = World::new().await;
    let denied = world.run("denied", Plan::Denied).await;
    let granted = world.run("granted", Plan::Granted).await;
    let active = world.run("active", Plan::Active).await;
    let good = world.bundle(granted).await;
    let mut made = BTreeMap::from([
        ("good-denied", world.bundle(denied).await.to_bytes().unwrap()),
        ("good-granted", good.to_bytes().unwrap()),
        ("good-open", world.bundle(active).await.to_bytes().unwrap()),
        ("withheld", world.bundle_without(granted, &["justification"]).await.to_bytes().unwrap()),
    ]);
    let mut add = |name, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        made.insert(name, bundle.to_bytes().unwrap());
    };
    add("bad-header", &|bundle| bundle.records[3].header = bundle.records[3].header.replacen("\"n\":", "\"n\":1", 1));
    add("bad-index", &|bundle| bundle.records[0].index += 1);
    add("bad-proof", &|bundle| {
        bundle.records[3].proof.pop();
    });
    add("bad-field", &|bundle| {
        let with = bundle.records.iter_mut().find(|r| r.header.contains("request.submitted")).unwrap();
        let text = String::from_utf8(with.fields.as_ref().unwrap().to_bytes().unwrap()).unwrap();
        with.fields = Some(Value::parse(text.replace("INC-7", "INC-8").as_bytes()).unwrap());
    });
    add("bad-checkpoint", &|bundle| {
        let size = bundle.logs[0].checkpoint.lines().nth(1).unwrap().to_owned();
        bundle.logs[0].checkpoint =
            bundle.logs[0].checkpoint.replacen(&format!("\n{size}\n"), &format!("\n{size}0\n"), 1);
    });
    add("no-policy", &|bundle| bundle.policies.clear());
    add("no-records", &|bundle| bundle.records.clear());
    add("gap", &|bundle| bundle.records.retain(|r| !r.header.contains("approval.recorded")));
    let mut damaged = good.to_bytes().unwrap();
    let at = damaged.windows(11).position(|w| w == b"That an ope").unwrap();
    damaged[at] = b'W';
    made.insert("damaged", damaged);
    (world.trust.to_text(), made)
}

#[tokio::test]
async fn the_vectors_are_what_this_version_makes_and_get_their_verdicts() {
    let (trust, made) = vectors().await;
    let policy = jit_log::TrustPolicy::parse(&trust).unwrap();
    let mut verdicts = String::new();
    for (name, bytes) in &made {
        let report = verify(bytes, &policy, &VerifyOptions::default());
        let at = match report.verdict() {
            jit_audit::Verdict::Proved => None,
            jit_audit::Verdict::Disproved(failure) | jit_audit::Verdict::NotProvable(failure) => failure.place.as_ref(),
        };
        let index = at.map_or("-".to_owned(), |place| place.index.to_string());
        verdicts.push_str(&format!("{name} {} {index}\n", report.verdict()));
    }
    let mut files: BTreeMap<String, Vec<u8>> =
        made.into_iter().map(|(name, bytes)| (format!("{name}.json"), bytes)).collect();
    files.insert("trust.policy".to_owned(), trust.into_bytes());
    files.insert("verdicts.txt".to_owned(), verdicts.into_bytes());
    if std::env::var_os("JIT_AUDIT_WRITE_VECTORS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in &files {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in &files {
        let stored = fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(stored == *bytes, "{name} differs from what this version makes");
    }
    let stored = fs::read_dir(folder()).unwrap().count();
    assert_eq!(stored, files.len(), "a vector is there that nothing makes");
}

#[test]
fn the_verdicts_are_those_that_the_names_promise() {
    let verdicts = fs::read_to_string(folder().join("verdicts.txt")).unwrap();
    assert_eq!(verdicts.lines().count(), 13);
    for line in verdicts.lines() {
        let (name, rest) = line.split_once(' ').unwrap();
        let promised = match name.split('-').next().unwrap() {
            "good" => "Proved",
            "bad" => "Disproved",
            _ => "NotProvable",
        };
        assert!(rest.starts_with(promised), "{line}");
    }
}
