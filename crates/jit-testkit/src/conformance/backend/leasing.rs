//! Leases: exclusive for a time, and fenced.

use std::{sync::Arc, time::Duration};

use jit_store::{Backend, Lease, LeaseKey};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    Subject,
    model::{LONG, ask, lease_key},
};

/// Waits until this holder gets the lease.
async fn eventually(backend: &Arc<dyn Backend>, key: LeaseKey, holder: u8) -> Lease {
    let got = timeout(Duration::from_secs(30), async {
        loop {
            if let Some(lease) = backend.lease(key, ask(holder, LONG)).await.unwrap() {
                return lease;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    got.await.expect("a lease that was not renewed expires")
}

pub(super) async fn a_lease_excludes_until_it_expires(subject: Subject) {
    let (backend, _) = subject.created().await;
    let ttl = Duration::from_millis(400);
    let begun = Instant::now();
    let first = backend.lease(lease_key(1), ask(1, ttl)).await.unwrap().expect("a free lease");
    assert_eq!((first.key, first.holder), (lease_key(1), ask(1, ttl).holder));
    let beside = subject.other().lease(lease_key(2), ask(2, LONG)).await.unwrap();
    assert!(beside.is_some(), "another key is free");
    let second = eventually(&subject.other(), lease_key(1), 2).await;
    assert!(begun.elapsed() >= ttl.mul_f64(0.95), "the lease was taken before it expired");
    assert!(second.fence > first.fence, "another holder gets a larger fence");
    assert_eq!(backend.lease(lease_key(1), ask(1, ttl)).await.unwrap(), None, "the first holder lost it");
}

pub(super) async fn a_renewal_keeps_the_fence_and_lasts_longer(subject: Subject) {
    let (backend, _) = subject.created().await;
    let (short, longer) = (Duration::from_millis(250), Duration::from_millis(1000));
    // On a busy machine a renewal may come too late, which is another key's turn then.
    let mut keys = (1..=u8::MAX).map(lease_key);
    let (key, first, begun) = loop {
        let key = keys.next().expect("one renewal in time");
        let asked = Instant::now();
        let first = backend.lease(key, ask(1, short)).await.unwrap().expect("a free lease");
        let begun = Instant::now();
        let renewed = subject.other().lease(key, ask(1, longer)).await.unwrap();
        if asked.elapsed() < short {
            assert_eq!(renewed, Some(first), "a renewal is the same lease");
            break (key, first, begun);
        }
    };
    let second = eventually(&backend, key, 2).await;
    assert!(begun.elapsed() >= longer.mul_f64(0.95), "the lease was taken before the renewal expired");
    assert!(second.fence > first.fence);
}

pub(super) async fn every_other_holder_gets_a_larger_fence(subject: Subject) {
    let (_, mut model) = subject.created().await;
    let mut last: Option<Lease> = None;
    for round in 0..10_u8 {
        let backend = subject.handle(round.into());
        let lease = backend.lease(lease_key(1), ask(round, LONG)).await.unwrap().expect("it was released");
        assert!(last.is_none_or(|last| lease.fence > last.fence), "{lease:?} after {last:?}");
        let again = backend.lease(lease_key(1), ask(round, LONG)).await.unwrap();
        assert_eq!(again, Some(lease), "a renewal is the same lease");
        // Other keys and commits have nothing to do with it.
        let other = backend.lease(lease_key(round + 2), ask(round, LONG)).await.unwrap().expect("a free lease");
        model.write(&*backend, &[1]).await;
        if round % 2 == 0 {
            backend.release(other).await.unwrap();
        }
        backend.release(lease).await.unwrap();
        last = Some(lease);
    }
    model.check(&*subject.backend()).await;
}

pub(super) async fn a_stale_release_frees_nothing(subject: Subject) {
    let (backend, _) = subject.created().await;
    let first = backend.lease(lease_key(1), ask(1, LONG)).await.unwrap().expect("a free lease");
    backend.release(first).await.unwrap();
    backend.release(first).await.unwrap();
    let second = backend.lease(lease_key(1), ask(2, LONG)).await.unwrap().expect("it was released");
    let stale = [
        ("the lease of an earlier holder", first),
        ("an earlier fence", Lease { fence: first.fence, ..second }),
        ("a later fence", Lease { fence: second.fence + 1, ..second }),
        ("the largest fence", Lease { fence: u64::MAX, ..second }),
        ("another holder", Lease { holder: first.holder, ..second }),
        ("another key", Lease { key: lease_key(2), ..second }),
    ];
    for (what, lease) in stale {
        subject.other().release(lease).await.unwrap();
        let taken = backend.lease(lease_key(1), ask(3, LONG)).await.unwrap();
        assert_eq!(taken, None, "{what} freed it");
    }
    assert_eq!(backend.lease(lease_key(1), ask(2, LONG)).await.unwrap(), Some(second));
    subject.other().release(second).await.unwrap();
    let third = backend.lease(lease_key(1), ask(3, LONG)).await.unwrap().expect("it was released");
    assert!(third.fence > second.fence);
}

pub(super) async fn leases_last_any_time(subject: Subject) {
    let (backend, _) = subject.created().await;
    let long =
        [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_micros(u64::MAX), Duration::from_secs(1 << 40)];
    for (number, ttl) in (1..).zip(long) {
        let lease = backend.lease(lease_key(number), ask(1, ttl)).await.unwrap();
        assert!(lease.is_some(), "a lease for {ttl:?}");
        assert_eq!(backend.lease(lease_key(number), ask(2, ttl)).await.unwrap(), None, "a lease for {ttl:?} lasts");
        assert_eq!(
            backend.lease(lease_key(number), ask(1, ttl)).await.unwrap(),
            lease,
            "a lease for {ttl:?} is renewed"
        );
    }
    let short = backend.lease(lease_key(9), ask(1, Duration::ZERO)).await.unwrap();
    assert!(short.is_some(), "a lease for no time");
    // On a clock of microseconds, or of milliseconds, the next moment may still be the same.
    sleep(Duration::from_millis(5)).await;
    assert!(backend.lease(lease_key(9), ask(2, LONG)).await.unwrap().is_some(), "a lease for no time is over");
}

pub(super) async fn one_of_many_gets_the_lease(subject: Subject) {
    subject.created().await;
    for round in 0..10 {
        let mut tasks = JoinSet::new();
        for holder in 1..=8_u8 {
            let backend = subject.handle(holder.into());
            tasks.spawn(async move { backend.lease(lease_key(round), ask(holder, LONG)).await.unwrap() });
        }
        let won = tasks.join_all().await.into_iter().flatten().count();
        assert_eq!(won, 1, "how many of 8 hold the same lease");
    }
}
