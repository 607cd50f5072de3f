//! A command repeated under its key has one effect (INV-20), and a secret is handed out once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests may panic")]

mod support;

use jit_broker::BrokerError;
use jit_core::*;
use support::*;

#[tokio::test]
async fn a_repeated_submission_finds_the_first_and_writes_nothing() {
    let world = World::new().await;
    let first = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap();
    let size = world.broker.log().size().await.unwrap();
    let again = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap();
    assert_eq!((first, size), (again, world.broker.log().size().await.unwrap()));

    let other = world.broker.submit(&key("k"), request("alice", "database:prod/billing", "read")).await;
    assert!(matches!(other, Err(BrokerError::KeyReused(case)) if case == first.case), "{other:?}");
    let somebody_else = world.broker.submit(&key("k"), request("dave", "database:prod/orders", "read")).await.unwrap();
    assert_ne!(somebody_else.case, first.case);
}

#[tokio::test]
async fn a_hundred_simultaneous_submissions_open_one_case() {
    let world = World::new().await;
    let before = world.broker.log().size().await.unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let broker = world.broker.clone();
            tokio::spawn(async move {
                broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case
            })
        })
        .collect();
    let mut cases = Vec::new();
    for task in tasks {
        cases.push(task.await.unwrap());
    }
    cases.dedup();
    assert_eq!(cases.len(), 1);
    assert_eq!(world.broker.log().size().await.unwrap(), before + 2);
}

#[tokio::test]
async fn repeated_acts_have_one_effect_and_other_content_is_refused() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "write")).await.unwrap().case;
    let content = world.broker.case(case).await.unwrap().approval_content(&person("bob")).unwrap();
    let act = |for_group: &str| jit_broker::ApprovalAct {
        approver: person("bob"),
        group: group(for_group),
        content: content.clone(),
        comment: None,
        authentication: None,
        signature: None,
    };
    let phase = world.broker.approve(&key("a"), case, act("sre")).await.unwrap();
    let size = world.broker.log().size().await.unwrap();
    assert_eq!(world.broker.approve(&key("a"), case, act("sre")).await.unwrap(), phase);
    let reused = world.broker.approve(&key("a"), case, act("dba")).await;
    assert!(matches!(reused, Err(BrokerError::KeyReused(_))), "{reused:?}");
    assert_eq!(world.broker.log().size().await.unwrap(), size);
}

#[tokio::test]
async fn a_refused_act_stays_refused_under_its_key() {
    let world = World::new().await;
    let case = world.broker.submit(&key("k"), request("alice", "database:prod/orders", "read")).await.unwrap().case;
    let bob = person("bob").id();
    assert!(world.broker.withdraw(&key("w"), case, bob.clone(), None).await.is_err());
    let size = world.broker.log().size().await.unwrap();
    let again = world.broker.withdraw(&key("w"), case, bob, None).await;
    assert!(
        matches!(again, Err(BrokerError::RefusedBefore { ref code, .. }) if code.as_str() == "not_own"),
        "{again:?}"
    );
    assert_eq!(world.broker.log().size().await.unwrap(), size);
}

#[tokio::test]
async fn a_secret_is_handed_out_once() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let alice = person("alice").id();
    let first = world.issue(case, &alice).await.unwrap();
    for k in ["issue", "another key"] {
        let again = world.broker.issue(&key(k), case, &alice, world.issuer_name()).await;
        let Err(BrokerError::Refused { refusal: Refusal::SecretNotRetained(descriptor), .. }) = again else {
            panic!("{again:?}")
        };
        assert_eq!(*descriptor, first.descriptor);
    }
    assert_eq!((world.effects.all().len(), world.effects.repeated()), (1, vec![]));
}

#[tokio::test]
async fn only_the_holder_can_have_a_credential_issued() {
    let world = World::new().await;
    let case = world.approved("k", request("alice", "database:prod/orders", "read")).await;
    let refused = world.issue(case, &person("bob").id()).await;
    assert!(matches!(refused, Err(BrokerError::Refused { refusal: Refusal::NotOwn(_), .. })), "{refused:?}");
    assert_eq!(world.kinds(case).await.last().unwrap(), "command.refused");
    assert!(world.effects.all().is_empty());
}
