//! A log and its witnesses over real HTTP: what was cosigned is what readers verify, and no race makes a witness sign two
//! histories.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use jit_audit::{AskError, Reason, Verdict, VerifyOptions, WitnessServer, WitnessState, scan_log, verify};
use jit_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, CosignerKey, Hash, KeyName, MAX_ADD_CHECKPOINT_LEN, Origin, ProofPlan,
    SignerKey, TrustError, TrustPolicy, Witness, WitnessRefusal, leaf_hash, witness_path,
};
use jit_store::{Cosigning, ExportPayloads, HttpWitness, WitnessAnswer, WitnessClient};
use support::{ORIGIN, Plan, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

fn log() -> SignerKey {
    SignerKey::from_seed(KeyName::parse(ORIGIN).unwrap(), [7; 32])
}

fn cosigner(number: u8) -> CosignerKey {
    CosignerKey::from_seed(KeyName::parse(&format!("witness.example/w{number}")).unwrap(), [100 + number; 32])
}

fn witness(number: u8) -> Witness {
    Witness::new(cosigner(number), &TrustPolicy::new_log_only(log().verifier()).unwrap())
}

/// A witness on a port of its own.
struct Running {
    url: String,
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(number: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let state = WitnessState::new(witness(number), folder.path());
        let server = tokio::spawn(WitnessServer::new(state).serve(listener, async move {
            let _ = stopped.await;
        }));
        Self { url, folder, stop: Some(stop), server }
    }

    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap();
        // The server may answer, and hang up, before it has read all.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

fn policy(witnesses: &[Running], threshold: usize) -> TrustPolicy {
    let mut text = format!("log {}\n", log().verifier());
    let mut names = String::new();
    for (number, running) in witnesses.iter().enumerate() {
        let key = cosigner(u8::try_from(number).unwrap()).verifier();
        text.push_str(&format!("witness w{number} {key} {}\n", running.url));
        names.push_str(&format!(" w{number}"));
    }
    TrustPolicy::parse(&format!("{text}group all {threshold}{names}\nquorum all\n")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_witnesses_cosigned_is_what_a_stranger_verifies() {
    let mut witnesses = Vec::new();
    for number in 0..3 {
        witnesses.push(Running::start(number).await);
    }
    let trust = policy(&witnesses, 2);
    let cosigning = Cosigning::new(trust.clone(), HttpWitness::all_of(&trust).unwrap()).unwrap();
    let world = World::cosigned(cosigning).await;
    let case = world.run("one", Plan::Granted).await;
    // One of them goes; two are enough.
    let gone = witnesses.remove(2);
    drop(gone.stop);
    gone.server.await.unwrap().unwrap();
    world.run("two", Plan::Denied).await;

    let bundle = world.bundle(case).await.to_bytes().unwrap();
    let report = verify(&bundle, &trust, &VerifyOptions::default());
    assert!(report.verdict().is_proved(), "{}: {:?}", report.verdict(), report.failures());
    assert_eq!(report.checkpoint().unwrap().cosignatures().len(), 2);
    let strict = TrustPolicy::parse(&trust.to_text().replace("group all 2", "group all 3")).unwrap();
    let report = verify(&bundle, &strict, &VerifyOptions::default());
    let Verdict::NotProvable(failure) = report.verdict() else { panic!("{}", report.verdict()) };
    let Reason::Checkpoint(TrustError::QuorumNotMet { cosigned: 2, .. }) = &failure.reason else { panic!("{failure}") };

    // The same for the whole log, exported.
    let folder = tempfile::tempdir().unwrap();
    world.log.export(folder.path(), ExportPayloads::Include).await.unwrap();
    let source = || Folder(folder.path().to_owned());
    let scan = scan_log(&mut source(), &mut source(), &trust).unwrap();
    assert!(scan.directory().checkpoint().cosignatures().len() >= 2);
    let error = scan_log(&mut source(), &mut source(), &strict).unwrap_err();
    assert!(!error.disproves(), "{error}");

    // What a witness publishes is the same checkpoint.
    let origin = Origin::parse(ORIGIN).unwrap();
    let client = HttpWitness::new(cosigner(0).verifier(), &witnesses[0].url).unwrap();
    let held = trust.without_quorum().verify(&client.held(&origin).await.unwrap().unwrap()).unwrap();
    assert!(held.checkpoint().size() <= world.log.size().await.unwrap());
    for running in witnesses {
        drop(running.stop);
        running.server.await.unwrap().unwrap();
    }
}

struct Folder(std::path::PathBuf);

impl jit_log::TileSource for Folder {
    type Error = std::io::Error;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, std::io::Error> {
        match fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The request to go from `old` to `new` leaves of a branch of the log; branches differ from leaf 10 on.
fn ask(branch: u8, old: u64, new: u64) -> AddCheckpoint {
    let leaves: Vec<Hash> = (0..new).map(|n| leaf_hash(&[if n < 10 { 0 } else { branch }, n as u8])).collect();
    let root = match new {
        0 => Hash::EMPTY_ROOT,
        _ => ProofPlan::<Hash>::root(new).unwrap().finish(|_| Some(leaves.as_slice())).unwrap(),
    };
    let proof = match old {
        0 => ConsistencyProof::from_hashes(vec![]).unwrap(),
        _ => ProofPlan::<ConsistencyProof>::consistency(old, new).unwrap().finish(|_| Some(&leaves)).unwrap(),
    };
    let note = Checkpoint::new(Origin::parse(ORIGIN).unwrap(), new, root).unwrap().sign(&[&log()]).unwrap();
    AddCheckpoint::new(old, proof, note).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_requests_get_one_history_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    // Two processes on one folder, as far as the state can tell.
    let states = [
        Arc::new(WitnessState::new(witness(0), folder.path())),
        Arc::new(WitnessState::new(witness(0), folder.path())),
    ];
    let mut tasks = Vec::new();
    for number in 0..64u8 {
        let state = Arc::clone(&states[usize::from(number % 2)]);
        tasks.push(tokio::spawn(async move {
            let (mut cosigned, mut old, mut order) = (Vec::new(), 0, Vec::new());
            for step in 1..=6 {
                let new = 10 + step * 3;
                let Some(next) = Some(new).filter(|new| *new >= old) else { continue };
                match state.ask(&ask(number % 4, old, next)).await {
                    Ok(_) => {
                        cosigned.push((next, number % 4));
                        order.push(next);
                        old = next;
                    }
                    Err(AskError::Refused(WitnessRefusal::Conflict { held })) => old = held,
                    Err(AskError::Refused(WitnessRefusal::Proof(_)) | AskError::Busy) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(order.is_sorted());
            cosigned
        }));
    }
    let mut branches: BTreeMap<u64, u8> = BTreeMap::new();
    for task in tasks {
        for (size, branch) in task.await.unwrap() {
            assert_eq!(*branches.entry(size).or_insert(branch), branch, "two checkpoints of size {size}");
        }
    }
    assert!(!branches.is_empty());
    assert!(branches.values().all(|branch| branch == branches.values().next().unwrap()), "all of one history");
    let held = states[0].held(&witness_path(&Origin::parse(ORIGIN).unwrap())).await.unwrap().unwrap();
    let held = witness(0).read(&held).unwrap();
    assert_eq!(Some(&held.checkpoint().size()), branches.keys().last(), "it holds the largest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_has_the_status_of_the_protocol() {
    let running = Running::start(0).await;
    let post = |body: Vec<u8>| {
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.into_bytes(), body].concat()
    };
    let status = |answer: String| answer.split(' ').nth(1).unwrap_or("none").to_owned();
    let send = async |body: Vec<u8>| running.raw(&post(body)).await;
    assert_eq!(status(send(ask(0, 0, 20).to_bytes()).await), "200");
    let conflict = send(ask(0, 0, 21).to_bytes()).await;
    assert!(conflict.to_lowercase().contains("content-type: text/x.tlog.size\r\n"), "{conflict}");
    assert!(conflict.starts_with("HTTP/1.1 409") && conflict.ends_with("\r\n\r\n20\n"), "{conflict}");
    assert_eq!(status(send(ask(1, 20, 20).to_bytes()).await), "422");
    assert_eq!(status(send(ask(1, 20, 30).to_bytes()).await), "422");
    let text = |request: &AddCheckpoint| String::from_utf8(request.to_bytes()).unwrap();
    let backward = text(&ask(0, 0, 20)).replace("old 0\n", "old 21\n").into_bytes();
    assert_eq!(status(send(backward).await), "400");
    assert_eq!(status(send(b"nonsense".to_vec()).await), "400");
    assert_eq!(status(send(Vec::new()).await), "400");
    let unsigned = text(&ask(0, 20, 20)).replace("\n20\n", "\n21\n").into_bytes();
    assert_eq!(status(send(unsigned).await), "403");
    let stranger = SignerKey::from_seed(KeyName::parse("log.example/b").unwrap(), [1; 32]);
    let foreign = Checkpoint::new(Origin::parse("log.example/b").unwrap(), 0, Hash::EMPTY_ROOT).unwrap();
    let foreign = foreign.sign(&[&stranger]).unwrap();
    let foreign = AddCheckpoint::new(0, ConsistencyProof::from_hashes(vec![]).unwrap(), foreign).unwrap();
    assert_eq!(status(send(foreign.to_bytes()).await), "404");
    assert_eq!(status(send(vec![b'x'; MAX_ADD_CHECKPOINT_LEN + 1]).await), "413");
    let endless = format!("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n", u64::MAX / 2);
    assert_eq!(status(running.raw(endless.as_bytes()).await), "413");

    let origin = Origin::parse(ORIGIN).unwrap();
    let get = async |path: &str| {
        running.raw(format!("GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").as_bytes()).await
    };
    let held = get(&format!("/{}", witness_path(&origin))).await;
    let note = held.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(witness(0).read(note.as_bytes()).unwrap().checkpoint().size(), 20);
    let other = format!("/{}", witness_path(&Origin::parse("log.example/b").unwrap()));
    for path in [
        other.as_str(),
        "/x/checkpoint",
        "/..%2f..%2fetc%2fpasswd/checkpoint",
        "/%2e%2e/checkpoint",
        "/checkpoint",
        "/",
        &format!("/{}", witness_path(&origin).to_uppercase().replace("CHECKPOINT", "checkpoint")),
    ] {
        assert_eq!(status(get(path).await), "404", "{path}");
    }
    assert_eq!(status(get("/add-checkpoint").await), "405");
    // It left nothing behind but its one file and the lock.
    let files = fs::read_dir(running.folder.path()).unwrap().count();
    assert_eq!(files, 2);
}

#[tokio::test]
async fn a_witness_whose_memory_is_damaged_does_not_cosign() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::parse(ORIGIN).unwrap();
    let state = WitnessState::new(witness(0), folder.path());
    state.ask(&ask(0, 0, 20)).await.unwrap();
    let file = folder.path().join(witness_path(&origin).replace('/', "."));
    let good = fs::read(&file).unwrap();
    let by_another = {
        let other = tempfile::tempdir().unwrap();
        let state = WitnessState::new(witness(1), other.path());
        state.ask(&ask(0, 0, 15)).await.unwrap();
        fs::read(other.path().join(witness_path(&origin).replace('/', "."))).unwrap()
    };
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    for bad in [Vec::new(), b"nonsense".to_vec(), good[..good.len() / 2].to_vec(), flipped, by_another] {
        fs::write(&file, bad).unwrap();
        assert!(matches!(state.ask(&ask(0, 20, 25)).await, Err(AskError::State(_))));
        assert!(matches!(state.ask(&ask(1, 0, 25)).await, Err(AskError::State(_))));
        assert!(state.check([&origin]).await.is_err());
    }
    fs::write(&file, good).unwrap();
    state.check([&origin]).await.unwrap();
    state.ask(&ask(0, 20, 25)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_finish_holds_nobody_up() {
    let running = Running::start(0).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(running.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold").await.unwrap();
        idle.push(stream);
    }
    let client = HttpWitness::new(cosigner(0).verifier(), &running.url).unwrap().timeout(Duration::from_secs(5));
    assert!(matches!(client.add_checkpoint(ask(0, 0, 20)).await.unwrap(), WitnessAnswer::Cosigned(_)));
}
