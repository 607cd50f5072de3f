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

/// Policies in a folder, as people keep them.
fn policies(folder: &Path, rules: &str) -> PathBuf {
    fs::create_dir_all(folder.join("database")).unwrap();
    fs::write(folder.join("jit.cedarschema"), cedar::BASE_SCHEMA).unwrap();
    fs::write(folder.join("database/oncall.cedar"), rules).unwrap();
    fs::write(folder.join("README.md"), "no policy").unwrap();
    folder.to_owned()
}

#[tokio::test]
async fn another_policy_is_run_over_what_was_decided() {
    let world = cedar_world().await;
    let folder = tempfile::tempdir().unwrap();
    let mut granted = None;
    for (name, plan) in [("denied", Plan::Denied), ("granted", Plan::Granted), ("active", Plan::Active)] {
        let bundle = world.bundle(world.run(name, plan).await).await;
        if plan == Plan::Granted {
            granted = Some(folder.path().join("granted.json"));
            fs::write(granted.as_ref().unwrap(), bundle.to_bytes().unwrap()).unwrap();
        }
    }
    let tiles = folder.path().join("tiles");
    world.log.export(&tiles, ExportPayloads::Include).await.unwrap();

    let same = policies(&folder.path().join("same"), &format!("// as it is\n{CEDAR}"));
    let (code, out) = on_bundle("backtest", &tiles, &["--candidate", same.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("decisions   5\nunchanged   5\n"), "{out}");

    let stricter =
        CEDAR.replace("leads:1", "leads:2").replace("@jit_approvals", "@jit_max_duration(\"10m\") @jit_approvals");
    let stricter = policies(&folder.path().join("stricter"), &stricter);
    let (code, out) = on_bundle("backtest", &tiles, &["--candidate", stricter.to_str().unwrap()]);
    assert_eq!(code, 1, "{out}");
    for line in [
        "unchanged   1",
        "changed     4",
        "by rule     oncall 4",
        "approvals leads:1",
        "approvals leads:2; at most 600 s",
        "4 of them asked for longer than that",
        "for example record ",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (code, out) = on_bundle("backtest", &tiles, &["--candidate", stricter.to_str().unwrap(), "--until", "1"]);
    assert_eq!(code, 1);
    assert!(out.contains("decisions   0"), "nothing run is not nothing changed: {out}");
    let (code, out) = on_bundle("backtest", granted.as_ref().unwrap(), &["--candidate", stricter.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.contains("decisions   2\nunchanged   0\n"), "{out}");

    let (code, out) = on_bundle("policies", Path::new("history"), &[tiles.to_str().unwrap()]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("published by idp.example|policy-admin") && out.contains("made 5 decisions, from record "),
        "{out}"
    );
    assert!(out.contains("NOT REVIEWED"), "{out}");

    // What does not verify is not judged.
    fs::write(tiles.join("checkpoint"), "no checkpoint").unwrap();
    let (code, out) = on_bundle("backtest", &tiles, &["--candidate", stricter.to_str().unwrap()]);
    assert!(code == 1 && !out.contains("decisions"), "{out}");
    let nonsense = policies(&folder.path().join("nonsense"), "permit everything");
    let output = run(&[
        "backtest",
        tiles.to_str().unwrap(),
        "--policy",
        vector("trust.policy").to_str().unwrap(),
        "--candidate",
        nonsense.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("oncall.cedar"));
}

#[tokio::test]
async fn policies_are_linted_compared_and_explained_before_they_are_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let one = policies(&folder.path().join("one"), CEDAR);
    let careless = CEDAR.replace("@id(\"oncall\") @jit_approvals", "@id(\"oncall\") @approvals");
    let other = policies(&folder.path().join("other"), &careless);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let say = |arguments: &[&str]| {
        let output = run(&[&["policies"], arguments].concat());
        let out = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), out)
    };
    assert_eq!(say(&["lint", &text(&one)]), (0, "nothing found\n".to_owned()));
    let (code, out) = say(&["lint", &text(&other)]);
    assert_eq!(code, 1);
    assert!(
        out.contains("rule oncall: no effect: @approvals demands nothing") && out.contains("rule oncall: unlimited"),
        "{out}"
    );
    assert_eq!(say(&["diff", &text(&one), &text(&one)]), (0, "the same policy\n".to_owned()));
    let (code, out) = say(&["diff", &text(&one), &text(&other)]);
    assert_eq!(code, 1);
    assert!(out.contains("rule changed: oncall (obligations)\n  no longer demands: approvals "), "{out}");

    let world = cedar_world().await;
    let bundle = world.bundle(world.run("denied", Plan::Denied).await).await;
    let file = folder.path().join("bundle.json");
    fs::write(&file, bundle.to_bytes().unwrap()).unwrap();
    let at = bundle.records.iter().find(|record| record.header.contains("policy.evaluated")).unwrap().index.to_string();
    let trust = text(&vector("trust.policy"));
    let (code, out) = say(&["explain", &text(&one), &text(&file), "--policy", &trust, "--record", &at]);
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("denied\nrule readonly forbids it\n"), "{out}");

    // The same input from a file, as people edit it: indented, and asking for less.
    let fields = bundle
        .records
        .iter()
        .find_map(|r| r.header.contains("policy.evaluated").then_some(r.fields.as_ref()?))
        .unwrap();
    let input = fields.as_object().unwrap().get("input").unwrap().as_object().unwrap().get("value").unwrap();
    let input: serde_json::Value = serde_json::from_slice(&input.to_bytes().unwrap()).unwrap();
    let mut asked = input;
    asked["actions"] = serde_json::json!(["read"]);
    let path = folder.path().join("input.json");
    fs::write(&path, serde_json::to_vec_pretty(&asked).unwrap()).unwrap();
    let (code, out) = say(&["explain", &text(&one), &text(&path)]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("permitted\nrule oncall permits it\n") && out.contains("demands approvals leads:1"), "{out}");
    assert_eq!(say(&["explain", &text(&one), &text(&file), "--policy", &trust, "--record", "0"]).0, 2);
    assert_eq!(say(&["explain", &text(&one)]).0, 2);
}
