//! Creating a log, and what there is before.

use jit_store::{BackendError, Begin, TreeRead};
use tokio::task::JoinSet;

use super::{
    Subject,
    model::{LONG, Model, all_leaves, ask, blob, checkpoint, due, is_corrupt, lease_key, look_up, stream, tile},
    pages,
};

fn not_created<T>(result: Result<T, BackendError>, method: &str) {
    match result {
        Err(BackendError::NotCreated) => {}
        Err(error) => panic!("{method} answers {error:?}"),
        Ok(_) => panic!("{method} answers without a log"),
    }
}

pub(super) async fn nothing_but_create_creates(subject: Subject) {
    for backend in [subject.backend(), subject.other()] {
        assert_eq!(backend.meta().await.unwrap(), None, "there are no settings");
        not_created(backend.begin(Begin::default()).await, "begin");
        not_created(backend.head().await, "head");
        not_created(backend.stream_head(stream(1)).await, "stream_head");
        not_created(backend.rows(0..9).await, "rows");
        not_created(backend.stream_rows(stream(1), 0, 9).await, "stream_rows");
        not_created(backend.lookup(look_up(1), 0, 9).await, "lookup");
        not_created(backend.tree(TreeRead::default()).await, "tree of nothing");
        not_created(backend.tree(all_leaves(0..9)).await, "tree");
        not_created(backend.due(None, 9, 9).await, "due");
        not_created(backend.scan_streams(None, 9).await, "scan_streams");
        not_created(backend.scan_lookups(None, 9).await, "scan_lookups");
        not_created(backend.scan_records(None, 9).await, "scan_records");
        not_created(backend.claim(9, 9, ask(1, LONG)).await, "claim");
        not_created(backend.blob(blob(1)).await, "blob");
        not_created(backend.checkpoint(None).await, "checkpoint");
        not_created(backend.save_checkpoint(None, checkpoint(1)).await, "save_checkpoint");
        not_created(backend.rebuild().await, "rebuild");
        let lease = backend.lease(lease_key(1), ask(1, LONG)).await;
        not_created(lease, "lease");
    }
    let (backend, model) = subject.created().await;
    model.check(&*backend).await;
    let lease = backend.lease(lease_key(1), ask(1, LONG)).await.unwrap().expect("a lease");
    backend.release(lease).await.unwrap();
}

pub(super) async fn create_keeps_the_settings_and_the_first_batch(subject: Subject) {
    let mut model = Model::default();
    let mut first = model.next(&[1, 2, 1]);
    first.tiles = vec![tile(0, 0)];
    first.projections.lookups = vec![(look_up(1), 2), (look_up(1), 0)];
    first.projections.due = vec![due(1, 5)];
    first.blobs = vec![(blob(1), b"policy".to_vec())];
    let settings: Vec<u8> = (0..=255).collect();
    subject.backend().create(settings.clone(), first.clone()).await.unwrap();
    model.apply(&first);
    for backend in [subject.backend(), subject.other()] {
        assert_eq!(backend.meta().await.unwrap(), Some(settings.clone()));
        model.check(&*backend).await;
        assert_eq!(pages::lookup(&*backend, look_up(1), 0, 9).await, [0, 2]);
        assert_eq!(pages::due(&*backend, 9, 9).await, [due(1, 5)]);
        assert_eq!(backend.blob(blob(1)).await.unwrap(), Some(b"policy".to_vec()));
        let read = TreeRead { tiles: vec![tile(0, 0).key], ..TreeRead::default() };
        assert!(backend.tree(read).await.unwrap().tiles == [Some(tile(0, 0))], "the tile of the first batch");
    }
}

pub(super) async fn no_settings_are_settings(subject: Subject) {
    subject.backend().create(Vec::new(), Model::default().next(&[1])).await.unwrap();
    assert_eq!(subject.other().meta().await.unwrap(), Some(Vec::new()), "settings of no bytes");
}

pub(super) async fn creating_twice_changes_nothing(subject: Subject) {
    let (backend, model) = subject.created().await;
    let other = Model::default().next(&[7, 8, 9]);
    for backend in [subject.other(), backend] {
        let again = backend.create(b"others".to_vec(), other.clone()).await;
        assert!(matches!(again, Err(BackendError::AlreadyExists)), "a second create answers {again:?}");
        assert_eq!(backend.meta().await.unwrap(), Some(b"settings".to_vec()));
        model.check(&*backend).await;
    }
}

pub(super) async fn one_of_many_creates(subject: Subject) {
    let mut tasks = JoinSet::new();
    for number in 1..=8_u8 {
        let backend = subject.handle(number.into());
        tasks.spawn(async move {
            let first = Model::default().next(&vec![number; number.into()]);
            match backend.create(vec![number], first).await {
                Ok(()) => Some(number),
                Err(BackendError::AlreadyExists) => None,
                Err(error) => panic!("create answers {error:?}"),
            }
        });
    }
    let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    let [winner] = winners[..] else { panic!("{} of 8 created the log", winners.len()) };
    assert_eq!(subject.backend().meta().await.unwrap(), Some(vec![winner]));
    let mut model = Model::default();
    model.apply(&model.next(&vec![winner; winner.into()]));
    model.check(&*subject.other()).await;
}

pub(super) async fn a_wrong_first_batch_creates_nothing(subject: Subject) {
    let backend = subject.backend();
    let mut begun = Model::default();
    begun.apply(&begun.next(&[1]));
    let mut doubled = Model::default().next(&[1, 1]);
    doubled.rows[1].record = doubled.rows[0].record;
    for wrong in [begun.next(&[1]), doubled] {
        let created = backend.create(b"settings".to_vec(), wrong).await;
        assert!(is_corrupt(&created), "create answers {created:?}");
        assert_eq!(backend.meta().await.unwrap(), None, "nothing was created");
    }
    let (backend, model) = subject.created().await;
    model.check(&*backend).await;
}
