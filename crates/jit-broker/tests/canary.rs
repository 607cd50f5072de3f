//! A secret put through the whole lifecycle appears in no record, bundle, error, debug output, log line or file (INV-17).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
};

use jit_audit::BundleBuilder;
use jit_core::*;
use jit_store::ExportPayloads;
use jit_testkit::{Canary, MemoryTarget, Step, Trouble};
use support::*;

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_nowhere_but_in_the_hands_of_its_caller() {
    let canary = Canary::new(b"c4n4ry-5ecret-that-must-not-sing");
    let lines = Lines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || to.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let target = Arc::new(MemoryTarget::new().with_secret(Some(canary.secret())));
    let world = World::with_issuer(target.clone()).await;
    let alice = person("alice").id();
    let mut shown = String::new();
    // One case that goes well, and one for each kind of trouble.
    for (k, trouble) in [
        ("well", None),
        ("mint failed", Some((Step::Mint, Trouble::Failed))),
        ("mint lost", Some((Step::Mint, Trouble::LostAfter))),
        ("revoke lost", Some((Step::Revoke, Trouble::LostAfter))),
    ] {
        if let Some((step, trouble)) = trouble {
            target.trouble(step, trouble);
        }
        let case = world.approved(k, request("alice", "database:prod/orders", "read")).await;
        let issued = world.issue(case, &alice).await;
        shown.push_str(&format!("{issued:?} {:?}\n", world.broker.case(case).await.unwrap()));
        match issued {
            Ok(issued) => {
                let secret = issued.secret.unwrap();
                assert_eq!(secret.expose(), canary.secret(), "the caller has it");
                shown.push_str(&format!("{secret:?}"));
                let again = world.issue(case, &alice).await;
                shown.push_str(&format!("{again:?} {}\n", again.as_ref().unwrap_err()));
            }
            Err(error) => shown.push_str(&format!("{error} {:?}\n", std::error::Error::source(&error))),
        }
        let ended = world.broker.terminate(&key("e"), case, alice.clone(), None).await;
        shown.push_str(&format!("{ended:?}\n"));
    }
    world.clock.advance(HOUR * 2);
    shown.push_str(&format!("{:?} {:?}\n", world.broker.sweep().await, world.broker));
    canary.assert_absent("debug output and errors", &shown);

    let size = world.broker.log().size().await.unwrap();
    let indexes: Vec<u64> = (0..size).collect();
    for record in world.broker.log().records(&indexes).await.unwrap() {
        canary.assert_absent("a header", record.record().header_bytes());
        canary.assert_absent("a payload", record.record().payload().unwrap().to_bytes().unwrap());
        canary.assert_absent("a record's debug output", format!("{record:?}"));
    }
    look_in_files(&world, &canary, &alice).await;

    let lines = lines.0.lock().unwrap().clone();
    assert!(!lines.is_empty());
    canary.assert_absent("log lines", &lines);
    let known =
        world.broker.case(world.broker.find(&Lookup::new(LookupFamily::Subject, &alice), 1).await.unwrap()[0]).await;
    assert!(String::from_utf8(lines).unwrap().contains(&known.unwrap().id().to_string()), "spans carry the case id");
}

#[tokio::test]
async fn a_token_is_nowhere_but_in_the_hands_of_its_caller() {
    let world = World::new().await;
    let alice = person("alice").id();
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let issued = world.issue(case, &alice).await.unwrap();
    let secret = issued.secret.as_ref().unwrap();
    let token = std::str::from_utf8(secret.expose()).unwrap();
    // Claims are in the evidence, in another form; whoever has the signature has the token.
    let canary = Canary::new(token.rsplit('.').next().unwrap().as_bytes());
    canary.assert_absent("debug output", format!("{issued:?} {:?}", world.broker.case(case).await.unwrap()));
    world.broker.terminate(&key("e"), case, alice.clone(), None).await.unwrap();
    look_in_files(&world, &canary, &alice).await;
}

/// Looks for the secret in the exported log, in the anchor, and in the bundle of every case of a person.
async fn look_in_files(world: &World, canary: &Canary, person: &PrincipalId) {
    let folder = tempfile::tempdir().unwrap();
    let log = world.broker.log();
    log.export(folder.path(), ExportPayloads::Include).await.unwrap();
    let cases = world.broker.find(&Lookup::new(LookupFamily::Subject, person), 1000).await.unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let bundle = BundleBuilder::case(log, case, person.clone()).build().await.unwrap();
        std::fs::write(folder.path().join(format!("{case}.json")), bundle.to_bytes().unwrap()).unwrap();
    }
    assert_eq!(canary.files(folder.path()), BTreeSet::new());
    assert_eq!(canary.files(world.anchor.path()), BTreeSet::new());
}
