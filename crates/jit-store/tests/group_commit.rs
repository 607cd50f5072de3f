//! Concurrent appends are committed together, each judged alone, and none is lost or doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use jit_core::{CaseClosed, Event, Expected, FieldErased, Identity, Kind, PrincipalId, StreamId, canonical};
use jit_log::Hash;
use jit_store::{
    AppendError, AppendRequest, Begin, GOVERNANCE_CLASS, InvalidRequest, Log, MAX_REQUEST_RECORDS, MemoryBackend,
};
use jit_testkit::{Calls, FailingBackend, Fault};
use support::doctored::{Doctored, Edit};
use support::{CLASS, FIRST, World, append, begin, case, chain, draft, heartbeat, key, publish, record, root_of_rows};

fn conflict(error: &AppendError) -> bool {
    matches!(error, AppendError::Conflict { .. })
}

fn invalid(result: Result<jit_store::Appended, AppendError>) -> InvalidRequest {
    match result {
        Err(AppendError::Invalid(invalid)) => invalid,
        other => panic!("not an invalid request: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_appenders_on_two_handles_share_one_dense_log() {
    let world = World::new();
    let handles = [world.create().await, world.open().await.unwrap()];
    let mut tasks = Vec::new();
    for number in 0..200 {
        let log = handles[number % 2].clone();
        tasks.push(tokio::spawn(async move {
            let count = 1 + number % 3;
            let mut request = begin(&log, number as u64, count);
            let drafted = number % 4 == 0;
            if drafted {
                request = request.draft(heartbeat(&log));
            }
            let appended = log.append(request).await.unwrap();
            assert_eq!(appended.records().len(), count + usize::from(drafted));
            let receipt = appended.receipt().await.unwrap();
            assert!(receipt.checkpoint().checkpoint().size() > appended.records().last().unwrap().index());
            appended.records().to_vec()
        }));
    }
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    let (size, root) = root_of_rows(&*world.backend).await;
    assert_eq!(size, FIRST + acknowledged.len() as u64);
    let head = world.backend.head().await.unwrap();
    assert_eq!((head.size, Hash::from(head.root)), (size, root), "folding the log gives the stored root");
    let indexes: BTreeSet<u64> = acknowledged.iter().map(|entry| entry.index()).collect();
    assert_eq!(indexes.len(), acknowledged.len(), "no index was given twice");
    for entry in &acknowledged {
        assert_eq!(handles[0].records(&[entry.index()]).await.unwrap()[0], *entry);
    }
    let gov = handles[1].stream(&StreamId::Gov).await.unwrap();
    assert_eq!(gov.len() as u64, FIRST + 50, "every draft got a number of its own");
    let checkpoint = handles[0].publish().await.unwrap();
    assert_eq!((checkpoint.checkpoint().size(), checkpoint.checkpoint().root()), (size, root));
}

#[tokio::test]
async fn a_conflict_fails_its_own_request_alone() {
    let world = World::new();
    let log = world.create().await;
    // All are in the queue before the committer sees the first.
    let results = futures_of((0..10).map(|number| {
        let stream = if number % 2 == 0 { 0 } else { number };
        (log.clone(), begin(&log, stream, 1))
    }))
    .await;
    let lost = results.iter().filter(|result| result.as_ref().is_err_and(conflict)).count();
    assert_eq!(lost, 4, "five wanted to begin the same case");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 6);
    let kept = log.stream(&case(0)).await.unwrap()[0].record().head();
    for result in results {
        if let Err(AppendError::Conflict { stream, current }) = result {
            assert_eq!((stream, current), (case(0), Some(kept)), "the answer says who won");
        }
    }
    assert_eq!(root_of_rows(&*world.backend).await.0, FIRST + 6);
}

/// The results of appends that are all submitted before any is answered.
async fn futures_of(
    requests: impl Iterator<Item = (Log, AppendRequest)>,
) -> Vec<Result<jit_store::Appended, AppendError>> {
    let tasks: Vec<_> = requests.map(|(log, request)| tokio::spawn(async move { log.append(request).await })).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn a_request_with_one_wrong_half_writes_nothing() {
    let log = World::new().create().await;
    append(&log, begin(&log, 1, 1)).await;
    let wrong = begin(&log, 2, 1).records(case(1), Expected::Empty, chain(&log, case(1), None, 1));
    assert!(conflict(&log.append(wrong).await.unwrap_err()));
    assert_eq!(log.size().await.unwrap(), FIRST + 1);
    assert!(log.stream(&case(2)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_guard_holds_or_the_append_fails() {
    let log = World::new().create().await;
    let parent = log.append(begin(&log, 1, 1)).await.unwrap().records()[0].record().head();
    let guarded = |number, expected| begin(&log, number, 1).guard(case(1), expected);
    append(&log, guarded(2, Expected::At(parent))).await;
    let ended = chain(&log, case(1), Some(parent), 1);
    append(&log, AppendRequest::new().records(case(1), Expected::At(parent), ended)).await;
    for (number, expected) in [(3, Expected::At(parent)), (4, Expected::Empty)] {
        assert!(conflict(&log.append(guarded(number, expected)).await.unwrap_err()));
        assert!(log.stream(&case(number)).await.unwrap().is_empty());
    }
    let size = log.size().await.unwrap();
    append(&log, begin(&log, 5, 1).guard(case(99), Expected::Empty)).await;
    assert_eq!(log.size().await.unwrap(), size + 1, "a guard is checked, not written");
}

#[tokio::test]
async fn drafts_of_erasure_say_where_gov_stood() {
    let log = World::new().create().await;
    let erased = FieldErased {
        leaf: record(&log, case(1), None).leaf(),
        names: vec!["justification".parse().unwrap()],
        basis: "order 12".to_owned().try_into().unwrap(),
        actors: vec![PrincipalId::Identity(Identity::new("idp", "u-1").unwrap())],
    };
    let request =
        AppendRequest::new().draft(heartbeat(&log)).draft(draft(&log, StreamId::Erasure, erased, GOVERNANCE_CLASS));
    let appended = log.append(request).await.unwrap();
    let [gov, erasure] = appended.records() else { panic!("two records") };
    let facts = erasure.record().header().facts.clone().unwrap();
    let jit_core::canonical::Value::Object(facts) = facts else { panic!("facts are an object") };
    assert_eq!(*facts.get("gov").unwrap(), canonical::to_value(&gov.record().head()).unwrap());
}

#[tokio::test]
async fn repeating_a_request_writes_nothing_and_answers_the_same() {
    let world = World::new();
    let log = world.create().await;
    let request = begin(&log, 1, 3).draft(heartbeat(&log));
    let first = log.append(request.clone()).await.unwrap();
    assert!(!first.is_repeated());
    let size = log.size().await.unwrap();
    // Another process, after the answer was lost, and after others went on with the stream.
    let head = first.records()[2].record().head();
    let more = chain(&log, case(1), Some(head), 1);
    append(&log, AppendRequest::new().records(case(1), Expected::At(head), more)).await;
    let again = world.open().await.unwrap().append(request).await.unwrap();
    assert!(again.is_repeated());
    assert_eq!(again.records(), first.records());
    assert_eq!(log.size().await.unwrap(), size + 1);
    again.receipt().await.unwrap();
}

#[tokio::test]
async fn the_same_request_twice_in_one_batch_is_written_once() {
    let world = World::new();
    let log = world.create().await;
    let lock = world.backend.begin(Begin::default()).await.unwrap();
    let request = begin(&log, 1, 2);
    let twice: Vec<_> = (0..2)
        .map(|_| {
            let (log, request) = (log.clone(), request.clone());
            tokio::spawn(async move { log.append(request).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(lock);
    let mut repeated = Vec::new();
    for task in twice {
        repeated.push(task.await.unwrap().is_repeated());
    }
    assert_eq!(repeated.iter().filter(|repeated| **repeated).count(), 1);
    assert_eq!(log.size().await.unwrap(), FIRST + 2);
}

#[tokio::test]
async fn half_a_repeated_request_is_refused() {
    let log = World::new().create().await;
    let records = chain(&log, case(1), None, 2);
    let half = AppendRequest::new().records(case(1), Expected::Empty, records[..1].to_vec());
    append(&log, half).await;
    let id = records[0].header().id;
    let whole = AppendRequest::new().records(case(1), Expected::Empty, records);
    assert_eq!(invalid(log.append(whole).await), InvalidRequest::IdTaken { id });
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up() {
    for (fault, written) in [(Fault::LostAfter, true), (Fault::LostBefore, false)] {
        let failing = Arc::new(FailingBackend::new(Arc::new(MemoryBackend::new())));
        let world = World::over(failing.clone());
        let log = world.create().await;
        failing.fail_at(1, Calls::Commits, fault);
        let request = begin(&log, 1, 2);
        let result = log.append(request.clone()).await;
        assert_eq!(result.is_ok(), written, "{result:?}");
        if let Err(error) = result {
            let AppendError::Backend(error) = error else { panic!("{error:?}") };
            assert!(error.is_retryable(), "nothing was written: {error:?}");
        }
        assert_eq!(log.size().await.unwrap(), if written { FIRST + 2 } else { FIRST });
        assert_eq!(log.append(request).await.unwrap().is_repeated(), written);
        assert_eq!(root_of_rows(&*world.backend).await.0, FIRST + 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_repeated_in_the_next_batch_is_there_once_when_both_answers_are_lost() {
    let backend = Doctored::new(MemoryBackend::new(), Edit::default());
    let world = World::over(Arc::new(backend.clone()));
    let log = world.create().await;
    append(&log, begin(&log, 1, 1)).await;
    backend.set(Edit { flights_lost: true, ..Edit::default() });
    let request = begin(&log, 2, 1);
    // First among its batch, of as many as are worth sending beside another.
    let others = (3..23).map(|number| begin(&log, number, 1));
    let requests: Vec<_> = [request.clone(), request].into_iter().chain(others).collect();
    let mut appending = Vec::new();
    for request in requests {
        let log = log.clone();
        appending.push(tokio::spawn(async move { log.append(request).await }));
        backend.flights.subscribe().wait_for(|flights| *flights >= 1).await.unwrap();
    }
    for (at, appended) in appending.into_iter().enumerate() {
        assert_eq!(appended.await.unwrap().unwrap().is_repeated(), at == 1);
    }
    assert_eq!(*backend.flights.borrow(), 2);
    assert_eq!(root_of_rows(&*world.backend).await.0, FIRST + 22);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_can_tell_is_called_unknown() {
    let failing = Arc::new(FailingBackend::new(Arc::new(MemoryBackend::new())));
    let world = World::over(failing.clone());
    let log = world.create().await;
    append(&log, begin(&log, 9, 1)).await;
    // The batch is written, its answer is lost, and from then on nothing answers.
    failing.fail_from(1, Calls::All, Fault::LostAfter);
    let request = begin(&log, 1, 1);
    let error = log.append(request.clone()).await.unwrap_err();
    assert!(matches!(error, AppendError::OutcomeUnknown(_)), "{error:?}");
    failing.heal(Calls::All);
    assert!(log.append(request).await.unwrap().is_repeated(), "it had been written");
    publish(&log, begin(&log, 2, 1)).await;
    assert_eq!(root_of_rows(&*world.backend).await.0, FIRST + 3);
}

#[tokio::test]
async fn too_many_waiting_requests_are_answered_overloaded() {
    let world = World::new();
    world.create().await;
    let log = Log::open(world.backend.clone(), world.config().queue(3)).await.unwrap();
    let lock = world.backend.begin(Begin::default()).await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..20 {
        let (log, request) = (log.clone(), begin(&log, number, 1));
        waiting.push(tokio::spawn(async move { log.append(request).await }));
        tokio::task::yield_now().await;
    }
    drop(lock);
    let (mut written, mut overloaded) = (0, 0);
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => written += 1,
            Err(AppendError::Overloaded) => overloaded += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((3..=7).contains(&written), "{written} were queued or being committed");
    assert_eq!(written + overloaded, 20);
    assert_eq!(log.size().await.unwrap(), FIRST + written);
    append(&log, begin(&log, 50, 1)).await;
}

#[tokio::test]
async fn dropping_the_caller_does_not_undo_what_was_handed_in() {
    let world = World::new();
    let log = world.create().await;
    let lock = world.backend.begin(Begin::default()).await.unwrap();
    let request = begin(&log, 1, 1);
    let caller = tokio::spawn({
        let (log, request) = (log.clone(), request.clone());
        async move { log.append(request).await.map(drop) }
    });
    tokio::task::yield_now().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(lock);
    assert!(log.append(request).await.unwrap().is_repeated());
}

#[tokio::test]
async fn a_closed_case_takes_no_more_records() {
    let log = World::new().create().await;
    let first = record(&log, case(1), None);
    let closing =
        draft(&log, case(1), Event::from(CaseClosed { count: 2 }), CLASS).seal(Some(first.head()), None).unwrap();
    let closed = closing.head();
    append(&log, AppendRequest::new().records(case(1), Expected::Empty, vec![first, closing])).await;
    let late = AppendRequest::new().records(case(1), Expected::At(closed), chain(&log, case(1), Some(closed), 1));
    let error = log.append(late).await.unwrap_err();
    assert!(matches!(error, AppendError::Closed { stream } if stream == case(1)), "{error}");
    // Within one request as well.
    let first = record(&log, case(2), None);
    let closing =
        draft(&log, case(2), Event::from(CaseClosed { count: 2 }), CLASS).seal(Some(first.head()), None).unwrap();
    let after = record(&log, case(2), Some(closing.head()));
    let request = AppendRequest::new().records(case(2), Expected::Empty, vec![first, closing, after]);
    assert!(matches!(log.append(request).await, Err(AppendError::Closed { .. })));
}

#[tokio::test]
async fn wrong_requests_are_refused_with_what_is_wrong() {
    let world = World::new();
    let log = world.create().await;
    assert_eq!(invalid(log.append(AppendRequest::new()).await), InvalidRequest::Empty);
    assert_eq!(invalid(log.append(AppendRequest::new().guard(case(1), Expected::Empty)).await), InvalidRequest::Empty);

    let records = MAX_REQUEST_RECORDS + 1;
    assert_eq!(invalid(log.append(begin(&log, 1, records)).await), InvalidRequest::TooLarge { records });

    let one = record(&log, case(1), None);
    let id = one.header().id;
    let elsewhere = AppendRequest::new().records(case(2), Expected::Empty, vec![one.clone()]);
    assert_eq!(invalid(log.append(elsewhere).await), InvalidRequest::OtherStream { id, stream: case(2) });
    let not_first = AppendRequest::new().records(case(1), Expected::At(one.head()), vec![one.clone()]);
    assert_eq!(invalid(log.append(not_first).await), InvalidRequest::Chain { id });
    let finished = draft(&log, StreamId::Gov, heartbeat_event(), GOVERNANCE_CLASS).seal(None, None).unwrap();
    let numbered = AppendRequest::new().records(StreamId::Gov, Expected::Empty, vec![finished]);
    assert_eq!(invalid(log.append(numbered).await), InvalidRequest::Numbering { stream: StreamId::Gov });
    let drafted = AppendRequest::new().draft(draft(&log, case(1), CaseClosed { count: 1 }, CLASS));
    assert_eq!(invalid(log.append(drafted).await), InvalidRequest::Numbering { stream: case(1) });
    let undeclared = draft(&log, case(1), CaseClosed { count: 1 }, "forever").seal(None, None).unwrap();
    let (id, class) = (undeclared.header().id, undeclared.header().retain.clone());
    let undeclared = AppendRequest::new().records(case(1), Expected::Empty, vec![undeclared]);
    assert_eq!(invalid(log.append(undeclared).await), InvalidRequest::Retention { id, class });

    let purged = jit_core::Record::parse(one.header_bytes().to_vec(), None).unwrap();
    let request = AppendRequest::new().records(case(1), Expected::Empty, vec![purged]);
    assert_eq!(invalid(log.append(request).await), InvalidRequest::NoPayload { id: one.header().id });

    let other = Log::create(
        Arc::new(MemoryBackend::new()),
        jit_store::LogConfig::new(
            Arc::new(jit_store::Ed25519Signer::new(key("store.example/other", 8))),
            Arc::new(jit_store::FileAnchor::new(world.folder("other"))),
            support::retention(10),
            jit_core::IndexKey::from_bytes([5; 32]),
            jit_core::WriterId::v8([9; 16]),
            world.clock.clone(),
        ),
    )
    .await
    .unwrap();
    let foreign = record(&other, case(1), None);
    let id = foreign.header().id;
    let request = AppendRequest::new().records(case(1), Expected::Empty, vec![foreign]);
    assert_eq!(invalid(log.append(request).await), InvalidRequest::OtherLog { id });
    let foreign = heartbeat(&other);
    let id = foreign.id();
    assert_eq!(invalid(log.append(AppendRequest::new().draft(foreign)).await), InvalidRequest::OtherLog { id });
    assert_eq!(log.size().await.unwrap(), FIRST, "nothing of all this was written");
}

fn heartbeat_event() -> jit_core::LogHeartbeat {
    jit_core::LogHeartbeat { silent_s: 0, anchor_accepted_missing: false }
}

#[tokio::test]
async fn a_class_is_usable_from_its_declaration_on() {
    let world = World::new();
    let log = world.create().await;
    let declared = jit_core::RetentionDeclared { classes: vec![support::terms("payments", 3)] };
    let of_class = |log: &Log, number| {
        let record = draft(log, case(number), CaseClosed { count: 1 }, "payments").seal(None, None).unwrap();
        AppendRequest::new().records(case(number), Expected::Empty, vec![record])
    };
    let other = world.open().await.unwrap();
    assert!(matches!(log.append(of_class(&log, 1)).await, Err(AppendError::Invalid(_))));
    let together = AppendRequest::new().draft(draft(&log, StreamId::Gov, declared, GOVERNANCE_CLASS));
    let record = draft(&log, case(2), CaseClosed { count: 1 }, "payments").seal(None, None).unwrap();
    append(&log, together.records(case(2), Expected::Empty, vec![record])).await;
    append(&other, of_class(&other, 3)).await;
    let kinds: Vec<Kind> =
        log.stream(&StreamId::Gov).await.unwrap().iter().map(|entry| entry.record().header().kind.clone()).collect();
    assert_eq!(kinds, [Kind::LogOpened, Kind::RetentionDeclared, Kind::RetentionDeclared]);
}
