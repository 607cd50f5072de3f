//! Whatever a witness over HTTP answers, the client bounds it and says what it was.
#![cfg(feature = "witness")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jit_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, CosignatureTime, CosignerKey, Hash, KeyName, MAX_NOTE_LEN, Origin,
    TrustPolicy, VerifierKey, witness_path,
};
use jit_store::{HttpWitness, WitnessAnswer, WitnessClient, WitnessError};
use support::{ORIGIN, key};

fn cosigner() -> CosignerKey {
    CosignerKey::from_seed(KeyName::parse("witness.example/w").unwrap(), [2; 32])
}

fn vkey() -> VerifierKey {
    cosigner().verifier()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(Origin::parse(ORIGIN).unwrap(), 5, Hash::from_bytes([3; 32])).unwrap()
}

fn request() -> AddCheckpoint {
    let note = checkpoint().sign(&[&key(ORIGIN, 7)]).unwrap();
    AddCheckpoint::new(0, ConsistencyProof::from_hashes(vec![]).unwrap(), note).unwrap()
}

/// A server that answers one request with these bytes, and the request it got.
fn answering(answer: impl Into<Vec<u8>>) -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/some/prefix", listener.local_addr().unwrap());
    let (answer, (send, got)) = (answer.into(), mpsc::channel());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        // Head and body: as long as the head says.
        loop {
            let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break;
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
            }
        }
        let _ = send.send(seen);
        // The client may hang up early.
        let _ = stream.write_all(&answer);
    });
    (url, got)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

async fn ask(answer: impl Into<Vec<u8>>) -> Result<WitnessAnswer, WitnessError> {
    let (url, _got) = answering(answer);
    HttpWitness::new(vkey(), &url).unwrap().add_checkpoint(request()).await
}

#[tokio::test]
async fn the_request_is_that_of_the_protocol_and_the_lines_are_read() {
    let time = CosignatureTime::from_unix_seconds(1_700_000_000).unwrap();
    let lines = [cosigner().cosign(&checkpoint(), time), key("other.example/k", 9).sign("x\n")];
    let body: String = lines.iter().map(ToString::to_string).collect();
    let (url, got) = answering(http("200 OK", "", &body));
    let witness = HttpWitness::new(vkey(), &format!("{url}/")).unwrap();
    let answer = witness.add_checkpoint(request()).await.unwrap();
    assert_eq!(answer, WitnessAnswer::Cosigned(lines.to_vec()));
    let got = got.recv().unwrap();
    assert!(got.starts_with(b"POST /some/prefix/add-checkpoint HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&got));
    assert!(got.ends_with(&request().to_bytes()));
}

#[tokio::test]
async fn each_answer_means_what_the_protocol_says() {
    let size = "Content-Type: text/x.tlog.size\r\n";
    assert_eq!(ask(http("409 Conflict", size, "42\n")).await.unwrap(), WitnessAnswer::Holds(42));
    for body in ["", "42", "042\n", "-1\n", "+1\n", "18446744073709551616\n", "4 2\n", "42\n\n"] {
        let answer = ask(http("409 Conflict", size, body)).await;
        assert!(matches!(answer, Err(WitnessError::Malformed { .. })), "{body:?}: {answer:?}");
    }
    for status in [409, 400, 403, 404, 422, 500, 503, 201, 204, 302] {
        let answer = ask(http(&format!("{status} Something"), "Location: http://127.0.0.1:1/\r\n", "42\n")).await;
        assert!(matches!(answer, Err(WitnessError::Refused { status: told, .. }) if told == status), "{answer:?}");
    }
    for body in ["", "\n", "no signature\n", "— witness.example/w AAAA\n", "— a AAAAAAAA"] {
        let answer = ask(http("200 OK", "", body)).await;
        assert!(matches!(answer, Err(WitnessError::Malformed { .. })), "{body:?}: {answer:?}");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_broken_ones_are_errors() {
    let endless = "— witness.example/w AAAAAAAA\n".repeat(20_000);
    let answer = ask(http("200 OK", "", &endless)).await;
    assert!(matches!(answer, Err(WitnessError::Malformed { .. })), "{answer:?}");
    let zeros =
        [http("200 OK", "", "").replace("Content-Length: 0\r\n", "").into_bytes(), vec![b'0'; 1 << 22]].concat();
    assert!(matches!(ask(zeros).await, Err(WitnessError::Malformed { .. })));
    for broken in ["", "nonsense", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"] {
        let answer = ask(broken).await;
        assert!(matches!(answer, Err(WitnessError::Unavailable { .. })), "{broken}: {answer:?}");
    }
    let nobody = HttpWitness::new(vkey(), "http://127.0.0.1:1").unwrap();
    assert!(matches!(nobody.add_checkpoint(request()).await, Err(WitnessError::Unavailable { .. })));
}

#[tokio::test]
async fn a_witness_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let witness = HttpWitness::new(vkey(), &url).unwrap().timeout(Duration::from_millis(100));
    let started = Instant::now();
    let answer = witness.add_checkpoint(request()).await;
    assert!(matches!(answer, Err(WitnessError::Unavailable { .. })), "{answer:?}");
    assert!(started.elapsed() >= Duration::from_millis(100) && started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_a_witness_holds_is_read_from_where_it_is_published() {
    let origin = Origin::parse(ORIGIN).unwrap();
    let (url, got) = answering(http("200 OK", "", "a note"));
    let witness = HttpWitness::new(vkey(), "http://127.0.0.1:1").unwrap().monitoring(&url).unwrap();
    assert_eq!(witness.held(&origin).await.unwrap().unwrap(), b"a note");
    let line = format!("GET /some/prefix/{} HTTP/1.1\r\n", witness_path(&origin));
    assert!(got.recv().unwrap().starts_with(line.as_bytes()));

    let (url, _got) = answering(http("404 Not Found", "", ""));
    assert_eq!(HttpWitness::new(vkey(), &url).unwrap().held(&origin).await.unwrap(), None);
    let (url, _got) = answering(http("500 Oh", "", ""));
    let answer = HttpWitness::new(vkey(), &url).unwrap().held(&origin).await;
    assert!(matches!(answer, Err(WitnessError::Refused { status: 500, .. })), "{answer:?}");
    let (url, _got) = answering(http("200 OK", "", &"x".repeat(MAX_NOTE_LEN + 1)));
    let answer = HttpWitness::new(vkey(), &url).unwrap().held(&origin).await;
    assert!(matches!(answer, Err(WitnessError::Malformed { .. })), "{answer:?}");
}

#[test]
fn a_witness_elsewhere_is_reached_over_tls_only() {
    for url in [
        "https://witness.example",
        "https://witness.example:8443/w1/",
        "http://127.0.0.1:9000",
        "http://[::1]:9000/w",
        "http://localhost/",
    ] {
        HttpWitness::new(vkey(), url).unwrap_or_else(|error| panic!("{error}"));
    }
    for url in [
        "",
        "witness.example",
        "http://witness.example",
        "http://127.0.0.1.example",
        "http://localhost@witness.example/",
        "https://user:secret@witness.example/",
        "https://witness.example/?log=a",
        "https://witness.example/#a",
        "ftp://witness.example",
        "unix:/run/witness",
    ] {
        assert!(HttpWitness::new(vkey(), url).is_err(), "{url}");
    }
    let policy = |url: &str| {
        let text =
            format!("log {}\nwitness w {} {url}\nwitness v {}\nquorum w\n", key(ORIGIN, 7).verifier(), vkey(), {
                CosignerKey::from_seed(KeyName::parse("witness.example/v").unwrap(), [3; 32]).verifier()
            });
        HttpWitness::all_of(&TrustPolicy::parse(&text).unwrap())
    };
    assert_eq!(policy("https://witness.example").unwrap().len(), 1);
    assert!(policy("http://witness.example").is_err());
}
