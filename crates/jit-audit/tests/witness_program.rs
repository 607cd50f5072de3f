//! `jit-audit witness` as an auditor runs it: what it answered survives being killed, and it stops when told to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use jit_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, Frontier, Hash, KeyName, Origin, ProofPlan, SignerKey, TrustPolicy,
    VerifierKey, leaf_hash,
};
use jit_store::{HttpWitness, WitnessAnswer, WitnessClient};

const ORIGIN: &str = "log.example/a";

fn log() -> SignerKey {
    SignerKey::from_seed(KeyName::parse(ORIGIN).unwrap(), [7; 32])
}

fn jit_audit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jit-audit"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program, killed when dropped.
struct Program {
    child: Child,
    client: HttpWitness,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let (key, state) = (folder.join("key"), folder.join("state"));
        let log = log().verifier().to_string();
        let arguments = ["witness", "--listen", "127.0.0.1:0", "--log", &log];
        let mut command = jit_audit(&arguments);
        let mut child = command.arg("--key").arg(key).arg("--state").arg(state).spawn().unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        // In a thread, so that a program that says nothing fails the test and does not hold it up.
        thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| said.send(line.unwrap())));
        let line = |prefix: &str| {
            let line = lines.recv_timeout(Duration::from_secs(60)).expect("the program says what it is");
            line.strip_prefix(prefix).unwrap().to_owned()
        };
        let key = VerifierKey::parse(&line("witness ")).unwrap();
        let client = HttpWitness::new(key, &line("listening on ")).unwrap();
        Self { child, client }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(old: u64, new: u64) -> AddCheckpoint {
    let leaves: Vec<Hash> = (0..new).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf).unwrap());
    let proof = match old {
        0 => ConsistencyProof::from_hashes(vec![]).unwrap(),
        _ => ProofPlan::<ConsistencyProof>::consistency(old, new).unwrap().finish(|_| Some(&leaves)).unwrap(),
    };
    let checkpoint = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), new, frontier.root()).unwrap();
    AddCheckpoint::new(old, proof, checkpoint.sign(&[&log()]).unwrap()).unwrap()
}

fn make_key(folder: &Path) -> String {
    let output = jit_audit(&["witness-key", "witness.example/w1", "--key"]).arg(folder.join("key")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_answered_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let vkey = make_key(folder.path());
    let mut answered = 0;
    for round in 1..=5u64 {
        let mut program = Program::start(folder.path());
        assert_eq!(program.client.verifier().to_string(), vkey);
        let client = program.client.clone();
        let first = answered;
        let asking = tokio::spawn(async move {
            let mut last = first;
            for new in first + 1..=200 {
                match client.add_checkpoint(request(last, new)).await {
                    Ok(WitnessAnswer::Cosigned(_)) => last = new,
                    // It had stored one more than it told.
                    Ok(WitnessAnswer::Holds(held)) => {
                        assert!(last < held && held <= last + 1, "asked from {last}, holds {held}");
                        last = held;
                    }
                    Err(_) => break,
                }
            }
            last
        });
        // Killed at another moment in each round, under load.
        let target = answered + round * 3;
        let origin = Origin::parse(ORIGIN).unwrap();
        let trust = TrustPolicy::new_log_only(log().verifier()).unwrap();
        let held = async |client: &HttpWitness| match client.held(&origin).await.unwrap() {
            Some(note) => trust.verify(&note).unwrap().checkpoint().size(),
            None => 0,
        };
        while held(&program.client).await < target {
            assert!(!asking.is_finished(), "the witness stopped answering");
            tokio::task::yield_now().await;
        }
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        answered = asking.await.unwrap();
        assert!(answered >= target.saturating_sub(1));
        let again = Program::start(folder.path());
        let now = held(&again.client).await;
        assert!((answered..=answered + 1).contains(&now), "answered {answered}, holds {now}");
        answered = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    make_key(folder.path());
    let mut program = Program::start(folder.path());
    assert!(matches!(program.client.add_checkpoint(request(0, 5)).await, Ok(WitnessAnswer::Cosigned(_))));
    let pid = program.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_does_not_start_with_what_it_should_not_use() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    make_key(folder.path());
    let again = jit_audit(&["witness-key", "witness.example/w2", "--key", &at("key")]).output().unwrap();
    assert_eq!(again.status.code(), Some(2), "a key is never replaced");
    let log = log().verifier().to_string();
    let refused = |arguments: &[&str], because: &str| {
        let output = jit_audit(&[&["witness", "--listen", "127.0.0.1:0"], arguments].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(because), "{error}");
    };
    refused(&["--key", &at("key"), "--state", &at("state")], "--log");
    refused(&["--key", &at("key"), "--state", &at("state"), "--log", "no key"], "--log");
    refused(&["--key", &at("missing"), "--state", &at("state"), "--log", &log], "missing");
    refused(&["--key", &at("key"), "--log", &log], "--help");
    let hash = jit_log::witness_path(&Origin::parse(ORIGIN).unwrap()).replace('/', ".");
    fs::create_dir_all(folder.path().join("state")).unwrap();
    fs::write(folder.path().join("state").join(hash), "damaged").unwrap();
    refused(&["--key", &at("key"), "--state", &at("state"), "--log", &log], "held");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o644)).unwrap();
        refused(&["--key", &at("key"), "--state", &at("other"), "--log", &log], "0600");
    }
}
