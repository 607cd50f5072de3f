//! Due work: its order, its bounds, and who may do it.

use std::{collections::BTreeSet, time::Duration};

use jit_store::{Backend, DueRow, Lease};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    Subject,
    model::{LONG, ask, due, due_key, lease_key},
    pages,
};

fn numbers(rows: &[DueRow]) -> Vec<u8> {
    rows.iter().map(|row| row.key.as_bytes()[0]).collect()
}

fn claimed(claims: &[(DueRow, Lease)]) -> Vec<u8> {
    claims.iter().map(|(row, _)| row.key.as_bytes()[0]).collect()
}

/// A log with this work.
async fn scheduled(subject: &Subject, work: &[DueRow]) -> (std::sync::Arc<dyn Backend>, super::model::Model) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1]);
    batch.projections.due = work.to_vec();
    model.commit(&*backend, batch).await;
    (backend, model)
}

pub(super) async fn due_work_comes_by_time_then_key(subject: Subject) {
    let work = [due(3, 20), due(0xf0, 10), due(2, 30), due(1, 20), due(0x10, 10), due(4, -5), due(2, 30)];
    let (backend, _) = scheduled(&subject, &work[..6]).await;
    let ordered = [due(4, -5), due(0x10, 10), due(0xf0, 10), due(1, 20), due(3, 20), due(2, 30)];
    for limit in [1, 2, 3, 4, 100] {
        assert_eq!(pages::due(&*backend, 100, limit).await, ordered);
    }
    let first = backend.due(None, 100, 4).await.unwrap();
    assert_eq!(first, ordered[..first.len()], "the first page is the earliest work");
}

pub(super) async fn due_work_has_bounds(subject: Subject) {
    let (backend, _) = scheduled(&subject, &[due(1, 10), due(2, 20), due(3, 20), due(4, 30)]).await;
    for (before, expected) in [(10, 0), (11, 1), (20, 1), (21, 3), (30, 3), (31, 4)] {
        assert_eq!(pages::due(&*backend, before, 9).await.len(), expected, "before {before}, which is exclusive");
    }
    let after = |at_us, number| {
        let backend = &backend;
        async move { numbers(&backend.due(Some((at_us, due_key(number))), 100, 9).await.unwrap()) }
    };
    assert_eq!(after(10, 1).await, [2, 3, 4], "after the first");
    assert_eq!(after(20, 2).await, [3, 4], "after the first of two at the same time");
    assert_eq!(after(20, 3).await, [4], "after the second of two at the same time");
    assert_eq!(after(20, 0).await, [2, 3, 4], "after a key that is not there");
    assert_eq!(after(15, 9).await, [2, 3, 4], "after a time at which nothing is due");
    assert_eq!(after(30, 4).await, [0; 0], "after the last");
    assert_eq!(after(i64::MIN, 0).await, [1, 2, 3, 4]);
    assert_eq!(after(i64::MAX, 0xff).await, [0; 0]);
    assert_eq!(backend.due(Some((20, due_key(2))), 20, 9).await.unwrap(), [], "after the end");
    let held = backend.claim(100, 9, ask(1, LONG)).await.unwrap();
    assert_eq!(claimed(&held), [1, 2, 3, 4]);
    assert_eq!(numbers(&pages::due(&*backend, 100, 9).await), [1, 2, 3, 4], "work that somebody holds is still due");
}

pub(super) async fn due_work_falls_due_at_any_time(subject: Subject) {
    let work = [due(1, i64::MIN), due(2, -1), due(3, 0), due(4, i64::MAX - 1), due(5, i64::MAX)];
    let (backend, _) = scheduled(&subject, &work).await;
    assert_eq!(pages::due(&*backend, i64::MAX, 9).await, work[..4], "nothing is due before the last moment");
    assert_eq!(pages::due(&*backend, i64::MIN, 9).await, [], "nothing is due before the first moment");
    assert_eq!(pages::due(&*backend, i64::MIN + 1, 9).await, work[..1]);
    let claims = backend.claim(i64::MAX, 9, ask(1, LONG)).await.unwrap();
    assert_eq!(claimed(&claims), [1, 2, 3, 4]);
    assert!(claims.iter().map(|(row, _)| row).eq(&work[..4]), "claimed work as scheduled");
}

pub(super) async fn due_work_is_moved_and_taken_off(subject: Subject) {
    let (backend, mut model) = scheduled(&subject, &[due(1, 10), due(2, 20), due(3, 30), due(4, 40)]).await;
    let mut batch = model.next(&[1]);
    let mut other = due(2, 50);
    other.work = b"other work".to_vec();
    batch.projections.due = vec![due(4, 5), other.clone()];
    batch.projections.due_done = vec![due_key(1), due_key(99)];
    model.commit(&*backend, batch).await;
    assert_eq!(pages::due(&*backend, 100, 9).await, [due(4, 5), due(3, 30), other.clone()]);
    let mut batch = model.next(&[1]);
    batch.projections.due = vec![due(1, 50), due(3, 50)];
    batch.projections.due_done = vec![due_key(4), due_key(1 ^ 0xff)];
    model.commit(&*subject.other(), batch).await;
    assert_eq!(pages::due(&*backend, 100, 9).await, [due(1, 50), other, due(3, 50)], "one entry for each key");
    let claims = backend.claim(100, 9, ask(1, LONG)).await.unwrap();
    assert_eq!(claimed(&claims), [1, 2, 3], "claims see what was moved");
}

pub(super) async fn claims_go_in_order_and_skip_what_is_held(subject: Subject) {
    let work = [due(5, 50), due(1, 30), due(2, 10), due(3, 20), due(4, 20), due(6, 60)];
    let (backend, _) = scheduled(&subject, &work).await;
    let mine = backend.claim(60, 2, ask(1, LONG)).await.unwrap();
    assert_eq!(claimed(&mine), [2, 3], "the earliest first, by time then key");
    let theirs = subject.other().claim(60, 2, ask(2, LONG)).await.unwrap();
    assert_eq!(claimed(&theirs), [4, 1], "what others hold is skipped, and does not count");
    assert_eq!(backend.claim(60, 0, ask(3, LONG)).await.unwrap(), []);
    assert_eq!(backend.claim(10, 9, ask(3, LONG)).await.unwrap(), [], "the end is exclusive");
    let rest = backend.claim(60, usize::MAX, ask(3, LONG)).await.unwrap();
    assert_eq!(claimed(&rest), [5]);
    assert_eq!(backend.claim(60, 9, ask(4, LONG)).await.unwrap(), [], "all is held");
    let last = backend.claim(i64::MAX, 9, ask(4, LONG)).await.unwrap();
    assert_eq!(claimed(&last), [6]);
    for (row, lease) in mine.iter().chain(&theirs).chain(&rest).chain(&last) {
        assert_eq!(lease.key, row.key.into(), "the lease is on the work");
        assert!(work.contains(row), "the work as it was scheduled");
    }
    let holders: Vec<u8> =
        [&mine, &theirs, &rest, &last].map(|claims| claims[0].1.holder.as_bytes()[0]).into_iter().collect();
    assert_eq!(holders, [1, 2, 3, 4]);
}

pub(super) async fn claiming_again_renews(subject: Subject) {
    let (backend, mut model) = scheduled(&subject, &[due(1, 10), due(2, 20), due(3, 30)]).await;
    let short = Duration::from_millis(250);
    let begun = Instant::now();
    let first = backend.claim(100, 2, ask(1, short)).await.unwrap();
    assert_eq!(claimed(&first), [1, 2]);
    let again = subject.other().claim(100, 2, ask(1, LONG)).await.unwrap();
    let in_time = begun.elapsed() < short;
    assert_eq!(claimed(&again), [1, 2], "what a holder has is returned again");
    assert!(again == first || !in_time, "what was renewed in time has the same fence");
    while begun.elapsed() < short * 2 {
        assert_eq!(
            claimed(&backend.claim(25, 9, ask(2, LONG)).await.unwrap()),
            [0; 0],
            "the renewed leases still last"
        );
        sleep(short / 10).await;
    }
    let mut batch = model.next(&[1]);
    batch.projections.due_done = vec![due_key(1)];
    model.commit(&*backend, batch).await;
    assert_eq!(claimed(&backend.claim(100, 2, ask(1, LONG)).await.unwrap()), [2, 3], "what is done makes room");
}

pub(super) async fn a_claim_is_a_lease(subject: Subject) {
    let (backend, mut model) = scheduled(&subject, &[due(1, 10), due(2, 20), due(3, 30)]).await;
    let key = due_key(1).into();
    assert_eq!(key, lease_key(1), "work is held under its own key");
    let held = backend.lease(key, ask(1, LONG)).await.unwrap().unwrap();
    let claims = subject.other().claim(100, 1, ask(2, LONG)).await.unwrap();
    assert_eq!(claimed(&claims), [2], "work under a lease is not claimed");
    assert_eq!(backend.lease(due_key(2).into(), ask(1, LONG)).await.unwrap(), None, "claimed work is not leased");
    backend.release(held).await.unwrap();
    let claims = subject.other().claim(100, 9, ask(3, LONG)).await.unwrap();
    assert_eq!(claimed(&claims), [1, 3], "what was released is claimed");
    assert!(claims[0].1.fence > held.fence, "another holder gets a larger fence");
    backend.release(claims[0].1).await.unwrap();
    let next = backend.claim(100, 9, ask(4, LONG)).await.unwrap();
    assert_eq!(claimed(&next), [1], "a claim is released as a lease");
    // Moving work does not take it from whoever does it.
    let mut batch = model.next(&[1]);
    batch.projections.due = vec![due(1, 11)];
    model.commit(&*backend, batch).await;
    assert_eq!(subject.other().claim(100, 9, ask(5, LONG)).await.unwrap(), []);
}

pub(super) async fn claims_at_once_share_the_work(subject: Subject) {
    const WORK: u8 = 60;
    let work: Vec<DueRow> = (0..WORK).map(|number| due(number, i64::from(number % 7))).collect();
    let (_, _) = scheduled(&subject, &work).await;
    let mut tasks = JoinSet::new();
    for holder in 1..=6_u8 {
        let backend = subject.handle(holder.into());
        tasks.spawn(async move {
            let mut mine = BTreeSet::new();
            // A claim that meets another one may come back with less than there is.
            for limit in [1, 3, 5, 8, 10, 10, 10, 10] {
                let claims = backend.claim(100, limit, ask(holder, LONG)).await.unwrap();
                assert!(claims.len() <= limit, "{} claims where {limit} were asked for", claims.len());
                assert!(claims.is_sorted_by_key(|(row, _)| (row.at_us, row.key)), "claims come by time, then key");
                mine.extend(claims.into_iter().map(|(row, lease)| {
                    assert_eq!(lease.holder, ask(holder, LONG).holder);
                    row.key
                }));
                tokio::task::yield_now().await;
            }
            mine
        });
    }
    let shares = tasks.join_all().await;
    let all: BTreeSet<_> = shares.iter().flatten().copied().collect();
    assert_eq!(shares.iter().map(BTreeSet::len).sum::<usize>(), all.len(), "no work is held twice");
    assert_eq!(all.len(), work.len(), "six that may hold ten each hold all sixty");
}

pub(super) async fn an_expired_claim_goes_to_another(subject: Subject) {
    let (backend, _) = scheduled(&subject, &[due(1, 10), due(2, 20)]).await;
    let ttl = Duration::from_millis(300);
    let begun = Instant::now();
    let first = backend.claim(100, 1, ask(1, ttl)).await.unwrap();
    assert_eq!(claimed(&first), [1]);
    let second = timeout(Duration::from_secs(30), async {
        loop {
            let claims = subject.other().claim(15, 9, ask(2, LONG)).await.unwrap();
            if !claims.is_empty() {
                return claims;
            }
            sleep(ttl / 20).await;
        }
    });
    let second = second.await.expect("an expired claim goes to another");
    assert!(begun.elapsed() >= ttl.mul_f64(0.95), "the claim was taken before it expired");
    assert_eq!(claimed(&second), [1]);
    assert!(second[0].1.fence > first[0].1.fence, "another holder gets a larger fence");
    backend.release(first[0].1).await.unwrap();
    assert_eq!(backend.claim(15, 9, ask(3, LONG)).await.unwrap(), [], "the first holder releases it no more");
}
