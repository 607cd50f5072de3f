//! The program as people run it: what it prints and how it exits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jit_policy::{FilePath, PolicyBundle, PolicyEngine, Target, cedar};
use jit_store::ExportPayloads;
use support::{Plan, World};

/// A rule in Cedar as the table of the other tests has it.
const CEDAR: &str = r#"
@id("oncall") @jit_approvals("leads:1")
permit (principal is Jit::Human, action == Jit::Action::"read", resource in Jit::Resource::"database:prod");
@id("readonly")
forbid (principal, action == Jit::Action::"write", resource);
"#;

async fn cedar_world() -> World {
    let engine = cedar::CedarEngine::new().unwrap();
    let descriptor = engine.descriptor().clone();
    let target = Target { engine: descriptor.name, language: descriptor.language, entrypoint: cedar::ENTRYPOINT };
    let schema = FilePath::new("jit.cedarschema").unwrap();
    let files = [
        (schema.clone(), cedar::BASE_SCHEMA.as_bytes().to_vec()),
        (FilePath::new("oncall.cedar").unwrap(), CEDAR.as_bytes().to_vec()),
    ];
    World::with_policy(7, &engine, &PolicyBundle::new(target, Some(schema), files).unwrap()).await
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jit-audit")).args(arguments).output().unwrap()
}

fn on_bundle(command: &str, bundle: &Path, more: &[&str]) -> (i32, String) {
    let trust = vector("trust.policy");
    let arguments = [&[command, bundle.to_str().unwrap(), "--policy", trust.to_str().unwrap()], more].concat();
    let output = run(&arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn verify_says_proved_alone_on_the_first_line() {
    for name in ["good-granted.json", "good-denied.json", "good-open.json"] {
        let (code, out) = on_bundle("verify", &vector(name), &[]);
        assert_eq!((code, out.lines().next()), (0, Some("Proved")), "{out}");
        assert!(out.contains("checkpoint  audit.example/evidence at size"), "{out}");
    }
}

#[test]
fn verify_names_record_and_reason() {
    let (code, out) = on_bundle("verify", &vector("bad-field.json"), &[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines[0]), (1, "Disproved"));
    assert!(lines[1].starts_with("record ") && lines[1].contains("(request.submitted, id "), "{out}");
    assert!(lines[1].contains("payload of record"), "{out}");

    let (code, out) = on_bundle("verify", &vector("no-policy.json"), &[]);
    assert_eq!((code, out.lines().next()), (1, Some("NotProvable")));
}

#[test]
fn withheld_values_must_be_accepted() {
    assert_eq!(on_bundle("verify", &vector("withheld.json"), &[]).0, 1);
    let (code, out) = on_bundle("verify", &vector("withheld.json"), &["--accept-withheld"]);
    assert_eq!(code, 0);
    assert!(out.contains("justification withheld"), "{out}");
}

#[test]
fn show_tells_the_story() {
    let (code, out) = on_bundle("show", &vector("good-granted.json"), &[]);
    assert_eq!(code, 0);
    assert!(out.contains("idp.example|lead-7 approved for group leads") && out.contains("proven"), "{out}");
    let output = run(&["show", vector("good-granted.json").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("none of this is proven"));
    assert_eq!(on_bundle("show", &vector("bad-field.json"), &[]).0, 1);
}

#[test]
fn replay_does_not_claim_what_it_cannot_do() {
    // These decisions were made by another engine than Cedar.
    let (code, out) = on_bundle("replay", &vector("good-granted.json"), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("policy.evaluated"), "{out}");
    assert_eq!(on_bundle("replay", &vector("bad-field.json"), &[]).0, 1);
}

#[tokio::test]
async fn decisions_of_cedar_come_out_the_same_and_the_exported_log_verifies() {
    let world = cedar_world().await;
    let folder = tempfile::tempdir().unwrap();
    for (name, plan) in [("denied", Plan::Denied), ("granted", Plan::Granted)] {
        let bundle = world.bundle(world.run(name, plan).await).await;
        let file = folder.path().join(format!("{name}.json"));
        fs::write(&file, bundle.to_bytes().unwrap()).unwrap();
        assert_eq!(on_bundle("verify", &file, &[]).0, 0);
        let (code, out) = on_bundle("replay", &file, &[]);
        assert_eq!(code, 0, "{out}");
        assert!(!out.is_empty() && out.lines().all(|line| line.ends_with(": Identical")), "{out}");
    }
    let tiles = folder.path().join("tiles");
    world.log.export(&tiles, ExportPayloads::Include).await.unwrap();
    let (code, out) = on_bundle("verify-log", &tiles, &[]);
    assert_eq!((code, out.lines().next()), (0, Some("Proved")), "{out}");
    let size = world.log.size().await.unwrap();
    assert!(out.contains(&format!("payloads    {size} of {size} are here")), "{out}");
    fs::remove_file(tiles.join("payload/000")).unwrap();
    let (code, out) = on_bundle("verify-log", &tiles, &[]);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("payloads    0 of {size} are here")), "what was not checked is said: {out}");

    let entries = tiles.join("tile/entries/000.p").join(world.log.size().await.unwrap().to_string());
    let mut altered = fs::read(&entries).unwrap();
    let at = altered.windows(17).position(|window| window == b"request.submitted").unwrap();
    altered[at] = b'R';
    fs::write(&entries, altered).unwrap();
    let (code, out) = on_bundle("verify-log", &tiles, &[]);
    assert_eq!((code, out.lines().next()), (1, Some("Disproved")), "{out}");
}

#[test]
fn an_answer_that_nobody_reads_has_its_status_all_the_same() {
    let (bundle, policy) = (vector("good-granted.json"), vector("trust.policy"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_jit-audit"))
        .args(["show", bundle.to_str().unwrap(), "--policy", policy.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_commands_and_files_exit_with_2() {
    let bundle = vector("good-granted.json");
    let bundle = bundle.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nonsense = folder.path().join("nonsense");
    fs::write(&nonsense, "no policy").unwrap();
    for arguments in [
        [].as_slice(),
        &["verify"],
        &["verify", bundle],
        &["prove", bundle],
        &["verify", bundle, "--polcy", "x"],
        &["verify", "/nonexistent", "--policy", vector("trust.policy").to_str().unwrap()],
        &["verify", bundle, "--policy", "/nonexistent"],
        &["verify", bundle, "--policy", nonsense.to_str().unwrap()],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.starts_with(b"jit-audit: "), "{arguments:?}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("EXIT STATUS"));
}

#[test]
fn nonsense_is_not_provable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    fs::write(&file, "no bundle").unwrap();
    let (code, out) = on_bundle("verify", &file, &[]);
    assert_eq!((code, out.lines().next()), (1, Some("NotProvable")));
    assert_eq!(on_bundle("verify-log", folder.path(), &[]).0, 1);
}
