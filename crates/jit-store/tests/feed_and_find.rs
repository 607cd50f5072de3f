//! What was recorded is read again in order, found by every name, and worked on by one process at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jit_core::{
    Clock as _, CredentialFailed, DueId, DueTask, Event, Expected, ExternalDigest, Lookup, LookupFamily, PolicyDigest,
    StreamHead, StreamId, SystemName, Timestamp, code, project,
};
use jit_store::{AppendRequest, BlobKey, Changes, Cursor, DueWork, Log, LogRecord};
use support::{
    FIRST, World, append, begin, case,
    lived::{HOUR, credential, events, grant, id, lived, person, scope, sealed},
    publish,
};

#[tokio::test]
async fn records_are_found_by_every_family() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..3 {
        append(&log, lived(&world, &log, number, 7)).await;
    }
    let record = |number: u64, at: u64| FIRST + number * 7 + at;
    let header_id = async |index: u64| log.records(&[index]).await.unwrap()[0].record().header().id;
    let siem = SystemName::new("siem").unwrap();
    let tickets = SystemName::new("tickets").unwrap();
    let own = [
        (Lookup::new(LookupFamily::Request, id(1)), 0),
        (Lookup::new(LookupFamily::Decision, header_id(record(1, 1)).await), 1),
        (Lookup::new(LookupFamily::Approval, header_id(record(1, 2)).await), 2),
        (Lookup::new(LookupFamily::Grant, grant(1)), 3),
        (Lookup::new(LookupFamily::Parent, grant(501)), 0),
        (Lookup::new(LookupFamily::Credential, credential(1)), 4),
        (Lookup::new(LookupFamily::Fingerprint, ExternalDigest::from_bytes([1; 32])), 5),
        (Lookup::new(LookupFamily::Resource, scope(1).resource()), 0),
        (Lookup::new(LookupFamily::Subject, person("requester-1")), 0),
        (Lookup::external(&tickets, &"INC-1"), 0),
        (Lookup::external(&siem, &"S-1"), 6),
    ];
    let families: BTreeSet<LookupFamily> = own.iter().map(|(lookup, _)| lookup.family).collect();
    assert_eq!(families.len(), 10, "every family there is");
    for (lookup, at) in own {
        let found = log.find(&lookup, 0, 10).await.unwrap();
        assert_eq!(found.iter().map(LogRecord::index).collect::<Vec<_>>(), [record(1, at)], "{lookup:?}");
        let other = Lookup { family: lookup.family, value: format!("{}x", lookup.value) };
        assert!(log.find(&other, 0, 10).await.unwrap().is_empty());
    }
    // One name, many records, by pages.
    let everywhere = Lookup::new(LookupFamily::Subject, person("recipient"));
    let all: Vec<u64> = log.find(&everywhere, 0, 10).await.unwrap().iter().map(LogRecord::index).collect();
    assert_eq!(all, [record(0, 0), record(1, 0), record(2, 0)]);
    assert_eq!(log.find(&everywhere, 0, 2).await.unwrap().len(), 2);
    assert_eq!(log.find(&everywhere, all[1], 10).await.unwrap().len(), 2, "from an index on");
    assert!(log.find(&everywhere, all[2] + 1, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn projections_rebuilt_from_the_log_are_those_found() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..6 {
        // Each case stops at another point, so that all kinds of work are left.
        append(&log, lived(&world, &log, number, 1 + usize::try_from(number).unwrap())).await;
    }
    let failed = sealed(&log, 4, CredentialFailed { cause: code!("away") }.into(), head(&log, 4).await);
    append(&log, AppendRequest::new().records(case(4), Expected::from_head(head(&log, 4).await), vec![failed])).await;

    let mut lookups: BTreeMap<Lookup, Vec<u64>> = BTreeMap::new();
    let mut due: BTreeMap<DueId, Timestamp> = BTreeMap::new();
    let Changes { records, .. } = log.changes(Cursor::START, usize::MAX).await.unwrap();
    assert_eq!(records.len() as u64, log.size().await.unwrap());
    for entry in &records {
        let projection = project(entry.record());
        for lookup in projection.lookups {
            lookups.entry(lookup).or_default().push(entry.index());
        }
        due.retain(|id, _| !projection.done.contains(id));
        due.extend(projection.due);
    }
    assert!(lookups.len() > 20 && due.len() > 5);
    for (lookup, indexes) in lookups {
        let found = log.find(&lookup, 0, usize::MAX).await.unwrap();
        assert_eq!(found.iter().map(LogRecord::index).collect::<Vec<_>>(), indexes, "{lookup:?}");
    }
    let stored = log.due(None, Timestamp::MAX, usize::MAX).await.unwrap();
    assert!(stored.is_sorted_by_key(DueWork::at));
    assert_eq!(stored.iter().map(|work| (*work.id(), work.at())).collect::<BTreeMap<_, _>>(), due);
    assert_eq!(stored.len(), due.len());
}

async fn head(log: &Log, number: u64) -> Option<StreamHead> {
    log.stream(&case(number)).await.unwrap().last().map(|entry| entry.record().head())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_feed_has_no_gap_while_many_append() {
    const APPENDERS: u64 = 40;
    let world = World::new();
    let handles = [world.create().await, world.open().await.unwrap()];
    let mut appenders = Vec::new();
    for number in 0..APPENDERS {
        let log = handles[usize::try_from(number % 2).unwrap()].clone();
        appenders.push(tokio::spawn(async move { append(&log, begin(&log, number, 5)).await }));
    }
    let mut readers = Vec::new();
    for limit in [1, 7, 1000] {
        let log = handles[limit % 2].clone();
        readers.push(tokio::spawn(async move {
            let (mut cursor, mut seen) = (Cursor::START, Vec::new());
            while (seen.len() as u64) < FIRST + APPENDERS * 5 {
                let changes = log.changes(cursor, limit).await.unwrap();
                assert!(changes.records.len() <= limit);
                seen.extend(changes.records);
                // A reader keeps its place as text.
                cursor = changes.next.to_string().parse().unwrap();
                assert_eq!(cursor.seen(), seen.len() as u64);
                tokio::task::yield_now().await;
            }
            seen
        }));
    }
    let mut appended = Vec::new();
    for appender in appenders {
        appended.extend(appender.await.unwrap());
    }
    appended.sort_by_key(LogRecord::index);
    for reader in readers {
        let seen = reader.await.unwrap();
        assert!(seen.iter().enumerate().all(|(at, entry)| entry.index() == at as u64));
        assert_eq!(seen[usize::try_from(FIRST).unwrap()..], appended);
    }
    let end = Cursor::after(FIRST + APPENDERS * 5 - 1);
    let changes = handles[0].changes(end, 10).await.unwrap();
    assert!(changes.records.is_empty() && changes.next == end);
    let beyond = Cursor::after(u64::MAX);
    assert_eq!(handles[0].changes(beyond, 10).await.unwrap().next, beyond);
}

fn tasks(work: &[DueWork]) -> Vec<DueTask> {
    work.iter().map(|work| work.id().task).collect()
}

#[tokio::test(start_paused = true)]
async fn due_work_is_one_processes_until_its_lease_ends() {
    let world = World::new();
    let (log, other) = (world.create().await, world.open().await.unwrap());
    append(&log, lived(&world, &log, 1, 1)).await;
    append(&log, lived(&world, &log, 2, 5)).await;
    let now = world.clock.now().at;
    assert!(log.due(None, now, 9).await.unwrap().is_empty(), "nothing yet");
    let minute = now.saturating_add(Duration::from_secs(60));
    let resolve = DueTask::ResolveMint(credential(2));
    assert_eq!(tasks(&log.due(None, minute, 9).await.unwrap()), [resolve], "due at its moment");
    let before = minute.saturating_sub(Duration::from_micros(1));
    assert!(log.due(None, before, 9).await.unwrap().is_empty(), "and not before");

    let later = now.saturating_add(HOUR);
    let lease = Duration::from_secs(30);
    let first = log.claim(later, lease, 1).await.unwrap();
    assert_eq!(tasks(&first), [resolve], "the longest due first");
    let rest = other.claim(later, lease, 9).await.unwrap();
    assert_eq!(BTreeSet::from_iter(tasks(&rest)), BTreeSet::from([DueTask::Lapse, DueTask::Expire]));
    assert!(log.claim(later, lease, 9).await.unwrap().is_empty(), "also for the process that holds it");
    assert_eq!(log.due(None, later, 9).await.unwrap().len(), 3, "held work is due all the same");

    other.release(rest[0]).await.unwrap();
    assert_eq!(tasks(&log.claim(later, lease, 9).await.unwrap()), tasks(&rest[..1]), "given back before its time");
    tokio::time::advance(Duration::from_secs(31)).await;
    let again = other.claim(later, lease, 9).await.unwrap();
    assert_eq!(again.len(), 3, "what nobody finished is claimed again");
    log.release(first[0]).await.unwrap();
    assert!(log.claim(later, lease, 9).await.unwrap().is_empty(), "a lease that ended gives nothing back");

    // Who holds work puts it off; who held it does not.
    other.put_off(&again[1], HOUR).await.unwrap();
    log.put_off(&first[0], HOUR).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    let left = log.claim(later, lease, 9).await.unwrap();
    assert_eq!(tasks(&left), [tasks(&again)[0], tasks(&again)[2]], "the rest is claimed again");
    assert_eq!(log.due(None, later, 9).await.unwrap().len(), 3, "and what was put off is due all the same");

    // Only a record finishes work.
    let issued = events(&world, 2).remove(5);
    let issued = sealed(&log, 2, issued, head(&log, 2).await);
    append(&log, AppendRequest::new().records(case(2), Expected::from_head(head(&log, 2).await), vec![issued])).await;
    let left = tasks(&log.due(None, later, 9).await.unwrap());
    assert!(!left.contains(&resolve) && left.contains(&DueTask::CredentialExpiry(credential(2))), "{left:?}");
}

#[tokio::test]
async fn due_work_is_read_on_from_page_to_page() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..5 {
        append(&log, lived(&world, &log, number, 5)).await;
    }
    let whole = log.due(None, Timestamp::MAX, usize::MAX).await.unwrap();
    assert!(whole.windows(2).any(|pair| pair[0].at() == pair[1].at()), "some work is due at the same moment");
    for limit in 1..=whole.len() + 1 {
        let (mut read, mut pages) = (Vec::<DueWork>::new(), 0);
        loop {
            let page = log.due(read.last(), Timestamp::MAX, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            read.extend(page);
            pages += 1;
        }
        assert_eq!((&read, pages), (&whole, whole.len().div_ceil(limit)), "pages of {limit}");
    }

    // Work that was done meanwhile leaves its place.
    let at = whole.iter().position(|work| work.id().task == DueTask::ResolveMint(credential(2))).unwrap();
    let issued = sealed(&log, 2, events(&world, 2).remove(5), head(&log, 2).await);
    append(&log, AppendRequest::new().records(case(2), Expected::from_head(head(&log, 2).await), vec![issued])).await;
    let next = log.due(Some(&whole[at]), Timestamp::MAX, 1).await.unwrap();
    assert_eq!(next[..], whole[at + 1..at + 2]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_after_silence_only_and_once() {
    let world = World::new();
    let config = || world.config().heartbeat(Duration::from_secs(600));
    let log = Log::create(world.backend.clone(), config()).await.unwrap();
    let other = Log::open(world.backend.clone(), config()).await.unwrap();
    world.clock.advance(Duration::from_secs(599));
    assert!(!log.heartbeat().await.unwrap(), "not silent for long enough");
    world.clock.advance(Duration::from_secs(1));
    let (one, two) = tokio::join!(log.heartbeat(), other.heartbeat());
    assert_eq!(u8::from(one.unwrap()) + u8::from(two.unwrap()), 1, "once among all");
    let gov = log.stream(&StreamId::Gov).await.unwrap();
    let Event::LogHeartbeat(beat) = gov.last().unwrap().record().event().unwrap() else { panic!("a heartbeat") };
    assert_eq!((beat.silent_s, beat.anchor_accepted_missing), (600, false));
    assert_eq!(gov.len() as u64, FIRST + 1);
    assert!(!other.heartbeat().await.unwrap(), "the heartbeat itself broke the silence");
    world.clock.advance(Duration::from_secs(300));
    publish(&log, begin(&log, 1, 1)).await;
    world.clock.advance(Duration::from_secs(599));
    assert!(!other.heartbeat().await.unwrap(), "so does any other record");
    world.clock.advance(Duration::from_secs(1));
    assert!(other.heartbeat().await.unwrap());
    let anchored = log.trust().verify(&std::fs::read(world.anchor()).unwrap()).unwrap();
    assert_eq!(anchored.checkpoint().size(), log.size().await.unwrap(), "it is published");
}

#[tokio::test]
async fn blobs_come_with_their_append_or_not_at_all() {
    let log = World::new().create().await;
    let digest = PolicyDigest::from_bytes([4; 32]);
    append(&log, begin(&log, 1, 1).blob(BlobKey::from(digest), b"text".to_vec())).await;
    assert_eq!(log.policy(digest).await.unwrap().unwrap(), b"text");
    let other = PolicyDigest::from_bytes([5; 32]);
    assert!(log.append(begin(&log, 1, 1).blob(BlobKey::from(other), b"late".to_vec())).await.is_err());
    assert_eq!(log.policy(other).await.unwrap(), None, "a conflict brings no blob along");
    append(&log, begin(&log, 2, 1).blob(BlobKey::from(digest), b"another".to_vec())).await;
    assert_eq!(log.policy(digest).await.unwrap().unwrap(), b"text", "a key names one content");
}
