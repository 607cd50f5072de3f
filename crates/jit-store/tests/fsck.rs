//! A whole log verifies, and each damage is named for what it is, and alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_core::Entropy as _;
use jit_store::{
    Backend, BlobKey, Column, Damage, DueKey, FsckPhase, FsckReport, HashBytes, Log, LookupKey, Place, RecordKey, Row,
    StreamKey, TileKey, fsck,
};
use jit_testkit::SeededEntropy;
use support::{
    World, append, begin,
    dump::Dump,
    lived::{close, filled, lived, policy},
    publish,
    verified::{config, names},
};
use tokio::sync::Semaphore;

async fn check(backend: &dyn Backend, world: &World) -> FsckReport {
    fsck(backend, &config(world), &mut |_| {}).await.unwrap()
}

/// A log of 330 records at least, in a full tile and a part of one.
async fn world() -> (World, Log, Dump) {
    let world = World::new();
    let log = filled(&world, 330).await;
    let dump = Dump::of(&*world.backend, &[BlobKey::from(policy())]).await;
    (world, log, dump)
}

fn flip(bytes: &HashBytes) -> HashBytes {
    let mut bytes = *bytes.as_bytes();
    bytes[7] ^= 4;
    HashBytes::from_bytes(bytes)
}

#[tokio::test]
async fn clean_logs_of_every_size_are_clean() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..600 {
        if number % 7 == 0 || (250..260).contains(&number) || (505..520).contains(&number) {
            let mut phases = Vec::new();
            let report =
                fsck(&*world.backend, &config(&world), &mut |progress| phases.push(progress.phase)).await.unwrap();
            assert!(report.is_clean(), "{number}: {report}");
            assert_eq!(report.size, log.size().await.unwrap());
            assert_eq!(report.anchors, 1);
            assert!(phases.contains(&FsckPhase::Records) && phases.contains(&FsckPhase::Projections));
            assert!(!phases.contains(&FsckPhase::Naming));
        }
        let request = begin(&log, number, 1);
        if number % 50 == 0 {
            publish(&log, request).await;
        } else {
            append(&log, request).await;
        }
    }
    let report = log.fsck(None, &mut |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.tiles, report.streams), (2, 601));
}

#[tokio::test]
async fn a_log_with_everything_in_it_is_clean() {
    let (world, log, dump) = world().await;
    let report = check(&dump, &world).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.snapshots, 1);
    assert!(report.checkpoints > 10);
    assert_eq!(report.payloads, report.size);
    assert_eq!(report.root, log.checkpoint(0).await.unwrap().checkpoint().root());
    assert!(!dump.due.is_empty() && !dump.lookups.is_empty());
    assert!(report.to_string().ends_with("clean"));
}

/// Damages a copy of the same log in one way and says what is found.
struct Found {
    world: World,
    dump: Dump,
}

impl Found {
    async fn by(&self, damage: impl FnOnce(&mut Dump)) -> Vec<Damage> {
        let mut dump = self.dump.clone();
        damage(&mut dump);
        let report = check(&dump, &self.world).await;
        assert!(!report.is_clean());
        report.damages
    }
}

#[tokio::test]
async fn each_damage_of_records_is_named_alone() {
    let (world, _log, dump) = world().await;
    let found = Found { world, dump };
    let size = found.dump.head.size;
    let last = size - 2;
    for index in [3, 200, last] {
        let leaf = found.by(|dump| edit(dump, index, |row| row.leaf = flip(&row.leaf))).await;
        assert_eq!(leaf, [Damage::EditedLeaf { index }]);
        // The time of the record: the header stays canonical.
        let header =
            found.by(|dump| edit(dump, index, |row| replace(&mut row.header, "2026-03-02", "2026-03-03"))).await;
        assert_eq!(header, [Damage::EditedHeader { index }]);
        let header = found.by(|dump| edit(dump, index, |row| row.header.truncate(99))).await;
        assert_eq!(header, [Damage::EditedHeader { index }]);
        let salt = found.by(|dump| edit(dump, index, edit_salt)).await;
        assert_eq!(salt, [Damage::EditedPayload { index }]);
        let malformed = found.by(|dump| edit(dump, index, |row| row.payload = Some(vec![b'{']))).await;
        assert!(matches!(malformed[..], [Damage::MalformedPayload { index: at, .. }] if at == index), "{malformed:?}");
        let gone = found.by(|dump| edit(dump, index, |row| row.payload = None)).await;
        assert_eq!(gone, [Damage::MissingPayload { index }]);
        let id = found.by(|dump| edit(dump, index, |row| row.record = RecordKey::from_bytes([8; 16]))).await;
        assert_eq!(id, [Damage::EditedColumn { index, column: Column::Id }]);
        let stream = found.by(|dump| edit(dump, index, |row| row.stream = StreamKey::from_bytes([8; 32]))).await;
        assert_eq!(stream, [Damage::EditedColumn { index, column: Column::Stream }]);
        let number = found.by(|dump| edit(dump, index, |row| row.n += 1)).await;
        assert_eq!(number, [Damage::EditedColumn { index, column: Column::Number }]);
    }
    for (first, second) in [(3, 4), (10, 300), (last - 3, last)] {
        let swapped = found.by(|dump| swap(dump, first, second)).await;
        assert_eq!(swapped, [Damage::SwappedRecords { first, second }]);
    }
    let value = found
        .by(|dump| edit(dump, 2, |row| replace(row.payload.as_mut().unwrap(), "requester-0", "requester-9")))
        .await;
    assert_eq!(value, [Damage::EditedPayload { index: 2 }]);
    let cut = found.by(|dump| drop(dump.rows.split_off(&320))).await;
    assert!(cut.contains(&Damage::TruncatedRecords { records: 320..size }), "{cut:?}");
    let hole = found.by(|dump| dump.rows.retain(|index, _| !(100..103).contains(index))).await;
    assert!(hole.contains(&Damage::MissingRecords { records: 100..103 }), "{hole:?}");
    for from in [size, size + 1, size + 5000] {
        let surplus = found
            .by(|dump| {
                let row = Row { index: from, ..dump.rows[&5].clone() };
                dump.rows.insert(from, row);
            })
            .await;
        assert_eq!(surplus, [Damage::SurplusRecords { from }]);
    }
}

#[tokio::test]
async fn each_damage_of_the_tree_is_named_alone() {
    let (world, _log, dump) = world().await;
    let found = Found { world, dump };
    let size = found.dump.head.size;
    let (level, index) = (0, 0);
    let key = TileKey { level, index };
    let tile = found.by(|dump| dump.tiles.get_mut(&key).unwrap().hashes[77] ^= 1).await;
    assert_eq!(tile, [Damage::EditedTile { level, index }]);
    let tile = found.by(|dump| dump.tiles.get_mut(&key).unwrap().hashes.truncate(99)).await;
    assert_eq!(tile, [Damage::EditedTile { level, index }]);
    let gone = found.by(|dump| drop(dump.tiles.remove(&key))).await;
    assert_eq!(gone, [Damage::MissingTile { level, index }]);
    let root = found
        .by(|dump| {
            let tile = dump.tiles.get_mut(&key).unwrap();
            tile.root = flip(&tile.root);
        })
        .await;
    assert_eq!(root, [Damage::EditedTileRoot { level, index }]);
    let root = found.by(|dump| dump.head.root = flip(&dump.head.root)).await;
    assert_eq!(root, [Damage::Root { size }]);
    for node in 0..found.dump.head.frontier.len() {
        let frontier = found.by(|dump| dump.head.frontier[node] = flip(&dump.head.frontier[node])).await;
        assert_eq!(frontier, [Damage::Frontier { size }]);
    }
    let frontier = found.by(|dump| assert!(dump.head.frontier.pop().is_some())).await;
    assert_eq!(frontier, [Damage::Frontier { size }]);
}

#[tokio::test]
async fn each_damage_of_checkpoints_is_named_alone() {
    let (world, log, dump) = world().await;
    let found = Found { world, dump };
    let place = Place::Database;
    let size = *found.dump.checkpoints.keys().nth(3).unwrap();
    let frontier = found
        .by(|dump| {
            let row = dump.checkpoints.get_mut(&size).unwrap();
            row.frontier[0] = flip(&row.frontier[0]);
        })
        .await;
    assert_eq!(frontier, [Damage::CheckpointFrontier { size }]);
    let note = found
        .by(|dump| {
            let note = &mut dump.checkpoints.get_mut(&size).unwrap().note;
            let signature = note.len() - 20;
            note[signature] = if note[signature] == b'A' { b'B' } else { b'A' };
        })
        .await;
    assert!(matches!(note[..], [Damage::Checkpoint { size: at, .. }] if at == size), "{note:?}");
    let other = found
        .by(|dump| {
            let other = dump.checkpoints.values().nth(1).unwrap().note.clone();
            dump.checkpoints.get_mut(&size).unwrap().note = other;
        })
        .await;
    assert!(matches!(other[..], [Damage::Checkpoint { size: at, .. }] if at == size), "{other:?}");

    // An older backup, whole in itself: the anchor has seen more.
    let signed = found.dump.head.size;
    let backup = Dump::of(&*found.world.backend, &[BlobKey::from(policy())]).await;
    publish(&log, begin(&log, 5000, 1)).await;
    let rolled_back = check(&backup, &found.world).await;
    let place_of_anchor = Place::Anchor(0);
    let rollback = Damage::Rollback { place: place_of_anchor, signed: signed + 1, stored: signed };
    assert_eq!(rolled_back.damages, [rollback]);
    std::fs::remove_file(found.world.anchor()).unwrap();
    let unanchored = check(&found.dump, &found.world).await;
    assert_eq!(unanchored.damages, [Damage::AnchorMissing { place: place_of_anchor }]);

    // Another log of the same name and key.
    let other = World::new();
    other.create().await;
    std::fs::copy(other.anchor(), found.world.anchor()).unwrap();
    let forked = check(&found.dump, &found.world).await;
    assert!(
        matches!(forked.damages[..], [Damage::Fork { place: at, size: 2, .. }] if at == place_of_anchor),
        "{forked}"
    );
    assert_ne!(place, place_of_anchor);
}

#[tokio::test]
async fn each_damage_of_projections_is_named_alone() {
    let (world, _log, dump) = world().await;
    let found = Found { world, dump };
    let (stream, state) = found.dump.streams.iter().nth(20).map(|(key, state)| (*key, *state)).unwrap();
    let gone = found.by(|dump| assert!(dump.streams.remove(&stream).is_some())).await;
    assert_eq!(gone, [Damage::MissingStreamHead { stream }]);
    for edit in [
        |state: &mut jit_store::StreamState| state.next += 1,
        |state: &mut jit_store::StreamState| state.leaf = flip(&state.leaf),
        |state: &mut jit_store::StreamState| state.closed = !state.closed,
    ] {
        let edited = found.by(|dump| edit(dump.streams.get_mut(&stream).unwrap())).await;
        assert_eq!(edited, [Damage::EditedStreamHead { stream }]);
    }
    let unknown = StreamKey::from_bytes([3; 32]);
    let invented = found.by(|dump| assert!(dump.streams.insert(unknown, state).is_none())).await;
    assert_eq!(invented, [Damage::UnknownStreamHead { stream: unknown }]);

    let (key, index) = found.dump.lookups.iter().nth(50).copied().unwrap();
    let gone = found.by(|dump| assert!(dump.lookups.remove(&(key, index)))).await;
    assert_eq!(gone, [Damage::MissingLookup { key, index }]);
    let unknown = LookupKey::from_bytes([3; 32]);
    let invented = found.by(|dump| assert!(dump.lookups.insert((unknown, 7)))).await;
    assert_eq!(invented, [Damage::UnknownLookup { key: unknown, index: 7 }]);

    let (record, index) = found.dump.records.iter().nth(50).map(|(key, index)| (*key, *index)).unwrap();
    let gone = found.by(|dump| assert!(dump.records.remove(&record).is_some())).await;
    assert_eq!(gone, [Damage::MissingId { index }]);
    let unknown = RecordKey::from_bytes([3; 16]);
    let invented = found.by(|dump| assert!(dump.records.insert(unknown, 7).is_none())).await;
    assert_eq!(invented, [Damage::UnknownId { record: unknown, index: 7 }]);

    let (at, key) = found.dump.due.keys().nth(20).copied().unwrap();
    let gone = found.by(|dump| drop(dump.due.remove(&(at, key)))).await;
    assert_eq!(gone, [Damage::MissingDue { key }]);
    let moved = found
        .by(|dump| {
            let work = dump.due.remove(&(at, key)).unwrap();
            dump.due.insert((at + 1, key), work);
        })
        .await;
    assert_eq!(moved, [Damage::EditedDue { key }]);
    let edited = found.by(|dump| dump.due.get_mut(&(at, key)).unwrap()[0] ^= 1).await;
    assert_eq!(edited, [Damage::EditedDue { key }]);
    let unknown = DueKey::from_bytes([3; 32]);
    let invented = found.by(|dump| drop(dump.due.insert((at, unknown), vec![1]))).await;
    assert_eq!(invented, [Damage::UnknownDue { key: unknown }]);

    let blob = BlobKey::from(policy());
    let gone = found.by(|dump| drop(dump.blobs.remove(&blob))).await;
    assert!(matches!(gone[..], [Damage::MissingSnapshot { policy: of, .. }] if of == policy()), "{gone:?}");
    let edited = found.by(|dump| dump.blobs.get_mut(&blob).unwrap()[0] ^= 1).await;
    assert_eq!(edited, [Damage::EditedSnapshot { policy: policy() }]);
    let settings = found.by(|dump| dump.meta.truncate(9)).await;
    assert!(matches!(settings[..], [Damage::Settings { .. }]), "{settings:?}");
}

#[tokio::test]
async fn whole_tables_that_are_empty_are_counted_beyond_the_list() {
    let (world, _log, mut dump) = world().await;
    let (heads, lookups) = (dump.streams.len(), dump.lookups.len());
    dump.streams.clear();
    dump.lookups.clear();
    let report = fsck(&dump, &config(&world).limit(10_000), &mut |_| {}).await.unwrap();
    assert_eq!(names(&report), ["missing_lookup", "missing_stream_head"]);
    assert_eq!(report.damages.len(), heads + lookups);
    let report = fsck(&dump, &config(&world).limit(5), &mut |_| {}).await.unwrap();
    assert_eq!(report.damages.len(), 5);
    assert_eq!(report.more as usize, heads + lookups - 5);
    assert!(report.to_string().contains("more"));
}

#[tokio::test]
async fn deleted_streams_and_records_of_another_log_are_named() {
    let (world, _log, dump) = world().await;
    let mut deleted = dump.clone();
    let stream = dump.rows.values().find(|row| text(row).contains("requester") || row.n == 3).unwrap().stream;
    let of_stream: Vec<u64> =
        dump.rows.iter().filter(|(_, row)| row.stream == stream).map(|(index, _)| *index).collect();
    deleted.rows.retain(|_, row| row.stream != stream);
    let report = check(&deleted, &world).await;
    assert_eq!(names(&report), ["deleted_stream", "missing_records"], "{report}");
    assert!(report.damages.contains(&Damage::DeletedStream { stream }));

    // Its last records only.
    let mut shortened = dump.clone();
    shortened.rows.retain(|index, _| *index != *of_stream.last().unwrap());
    let report = check(&shortened, &world).await;
    assert_eq!(names(&report), ["missing_records", "truncated_stream"], "{report}");

    // The records of a second log, appended behind those of the first as if they were its own.
    let second = World::new();
    let other = second.create_as("other.example/evidence").await;
    append(&other, begin(&other, 1, 3)).await;
    let merged = Dump::of(&*second.backend, &[]).await;
    let report = check(&merged, &world).await;
    assert!(report.damages.contains(&Damage::OtherLog { stored: "other.example/evidence".parse().unwrap() }));
    let foreign = report.damages.iter().filter(|damage| matches!(damage, Damage::ForeignRecord { .. })).count();
    assert_eq!(foreign, 5);
}

fn text(row: &Row) -> String {
    String::from_utf8_lossy(row.payload.as_deref().unwrap_or_default()).into_owned()
}

fn edit(dump: &mut Dump, index: u64, edit: impl FnOnce(&mut Row)) {
    edit(dump.rows.get_mut(&index).unwrap());
}

fn swap(dump: &mut Dump, first: u64, second: u64) {
    let (a, b) = (dump.rows[&first].clone(), dump.rows[&second].clone());
    assert_ne!(a, b);
    dump.rows.insert(first, b);
    dump.rows.insert(second, a);
}

/// Changes one digit of the first salt.
fn edit_salt(row: &mut Row) {
    let payload = row.payload.as_mut().unwrap();
    let at = payload.windows(8).position(|part| part == b"\"salt\":\"").unwrap() + 8;
    payload[at] = if payload[at] == b'0' { b'1' } else { b'0' };
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[tokio::test]
async fn a_bit_flipped_anywhere_is_never_clean() {
    let (world, _log, dump) = world().await;
    let random = SeededEntropy::new(11);
    let mut missed = Vec::new();
    for turn in 0..4 * PLACES.len() {
        let mut bytes = [0; 16];
        random.fill(&mut bytes).unwrap();
        let (table, entry, bit) = (turn % PLACES.len(), u64::from_be_bytes(bytes[..8].try_into().unwrap()), bytes[9]);
        let at = u32::from_be_bytes(bytes[12..].try_into().unwrap()) as usize;
        let mut damaged = dump.clone();
        PLACES[table].1(&mut damaged, usize::try_from(entry % 100_003).unwrap(), Flip { at, bit: 1 << (bit % 8) });
        match fsck(&damaged, &config(&world), &mut |_| {}).await {
            Ok(report) if report.is_clean() => missed.push((PLACES[table].0, entry, at, bit)),
            Ok(_) | Err(_) => {}
        }
    }
    assert_eq!(missed, []);
}

/// One bit of some bytes.
#[derive(Clone, Copy)]
struct Flip {
    at: usize,
    bit: u8,
}

impl Flip {
    fn bytes(self, bytes: &mut [u8]) {
        let at = self.at % bytes.len();
        bytes[at] ^= self.bit;
    }

    fn hash(self, hash: &mut HashBytes) {
        let mut bytes = *hash.as_bytes();
        self.bytes(&mut bytes);
        *hash = HashBytes::from_bytes(bytes);
    }

    fn number(self, number: u64) -> u64 {
        let mut bytes = number.to_be_bytes();
        self.bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

type Damaging = fn(&mut Dump, usize, Flip);

/// Every stored value, by table and column.
const PLACES: &[(&str, Damaging)] = &[
    ("meta", |dump, _, flip| flip.bytes(&mut dump.meta)),
    ("head.size", |dump, _, flip| dump.head.size = Flip { at: 7, ..flip }.number(dump.head.size)),
    ("head.root", |dump, _, flip| flip.hash(&mut dump.head.root)),
    ("head.frontier", |dump, entry, flip| flip.hash(nth(dump.head.frontier.iter_mut(), entry))),
    ("row.index", |dump, entry, flip| {
        let index = *nth(dump.rows.keys(), entry);
        let row = dump.rows.remove(&index).unwrap();
        dump.rows.insert(flip.number(index), row);
    }),
    ("row.record", |dump, entry, flip| {
        let row = nth(dump.rows.values_mut(), entry);
        row.record = id_flipped(row.record, flip);
    }),
    ("row.stream", |dump, entry, flip| {
        let row = nth(dump.rows.values_mut(), entry);
        row.stream = StreamKey::from_bytes(flipped(row.stream.as_bytes(), flip));
    }),
    ("row.n", |dump, entry, flip| {
        let row = nth(dump.rows.values_mut(), entry);
        row.n = flip.number(row.n);
    }),
    ("row.leaf", |dump, entry, flip| flip.hash(&mut nth(dump.rows.values_mut(), entry).leaf)),
    ("row.header", |dump, entry, flip| flip.bytes(&mut nth(dump.rows.values_mut(), entry).header)),
    ("row.payload", |dump, entry, flip| flip.bytes(nth(dump.rows.values_mut(), entry).payload.as_mut().unwrap())),
    ("tile.key", |dump, entry, flip| {
        let key = *nth(dump.tiles.keys(), entry);
        let tile = dump.tiles.remove(&key).unwrap();
        dump.tiles.insert(TileKey { index: flip.number(key.index), ..key }, tile);
    }),
    ("tile.hashes", |dump, entry, flip| flip.bytes(&mut nth(dump.tiles.values_mut(), entry).hashes)),
    ("tile.root", |dump, entry, flip| flip.hash(&mut nth(dump.tiles.values_mut(), entry).root)),
    ("checkpoint.size", |dump, entry, flip| {
        let size = *nth(dump.checkpoints.keys(), entry);
        let row = dump.checkpoints.remove(&size).unwrap();
        // A small change, so that it stays within the log.
        let size = Flip { at: 7, ..flip }.number(size);
        dump.checkpoints.insert(size, jit_store::CheckpointRow { size, ..row });
    }),
    ("checkpoint.note", |dump, entry, flip| flip.bytes(&mut nth(dump.checkpoints.values_mut(), entry).note)),
    ("checkpoint.frontier", |dump, entry, flip| {
        flip.hash(nth(nth(dump.checkpoints.values_mut(), entry).frontier.iter_mut(), entry));
    }),
    ("stream.key", |dump, entry, flip| {
        let key = *nth(dump.streams.keys(), entry);
        let state = dump.streams.remove(&key).unwrap();
        dump.streams.insert(StreamKey::from_bytes(flipped(key.as_bytes(), flip)), state);
    }),
    ("stream.next", |dump, entry, flip| {
        let state = nth(dump.streams.values_mut(), entry);
        state.next = flip.number(state.next);
    }),
    ("stream.leaf", |dump, entry, flip| flip.hash(&mut nth(dump.streams.values_mut(), entry).leaf)),
    ("stream.closed", |dump, entry, _| {
        let state = nth(dump.streams.values_mut(), entry);
        state.closed = !state.closed;
    }),
    ("lookup.key", |dump, entry, flip| {
        let (key, index) = *nth(dump.lookups.iter(), entry);
        dump.lookups.remove(&(key, index));
        dump.lookups.insert((LookupKey::from_bytes(flipped(key.as_bytes(), flip)), index));
    }),
    ("lookup.index", |dump, entry, flip| {
        let (key, index) = *nth(dump.lookups.iter(), entry);
        dump.lookups.remove(&(key, index));
        dump.lookups.insert((key, flip.number(index)));
    }),
    ("id.key", |dump, entry, flip| {
        let (record, index) = nth(dump.records.iter().map(|(record, index)| (*record, *index)), entry);
        dump.records.remove(&record);
        dump.records.insert(id_flipped(record, flip), index);
    }),
    ("id.index", |dump, entry, flip| {
        let index = nth(dump.records.values_mut(), entry);
        *index = flip.number(*index);
    }),
    ("due.at", |dump, entry, flip| {
        let (at, key) = *nth(dump.due.keys(), entry);
        let work = dump.due.remove(&(at, key)).unwrap();
        dump.due.insert((i64::from_be_bytes(flip.number(at.cast_unsigned()).to_be_bytes()), key), work);
    }),
    ("due.key", |dump, entry, flip| {
        let (at, key) = *nth(dump.due.keys(), entry);
        let work = dump.due.remove(&(at, key)).unwrap();
        dump.due.insert((at, DueKey::from_bytes(flipped(key.as_bytes(), flip))), work);
    }),
    ("due.work", |dump, entry, flip| flip.bytes(nth(dump.due.values_mut(), entry))),
    ("blob.key", |dump, entry, flip| {
        let key = *nth(dump.blobs.keys(), entry);
        let blob = dump.blobs.remove(&key).unwrap();
        dump.blobs.insert(BlobKey::from_bytes(flipped(key.as_bytes(), flip)), blob);
    }),
    ("blob.bytes", |dump, entry, flip| flip.bytes(nth(dump.blobs.values_mut(), entry))),
];

fn nth<T>(mut items: impl ExactSizeIterator<Item = T>, entry: usize) -> T {
    let at = entry % items.len();
    items.nth(at).unwrap()
}

fn flipped(bytes: &[u8; 32], flip: Flip) -> [u8; 32] {
    let mut bytes = *bytes;
    flip.bytes(&mut bytes);
    bytes
}

fn id_flipped(record: RecordKey, flip: Flip) -> RecordKey {
    let mut bytes = *record.as_bytes();
    flip.bytes(&mut bytes);
    RecordKey::from_bytes(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_is_written_to_meanwhile_is_clean() {
    let world = World::new();
    let log = world.create().await;
    for number in 0..60 {
        append(&log, lived(&world, &log, number, 7)).await;
    }
    let writes = Arc::new(Semaphore::new(0));
    let mut writers = Vec::new();
    for writer in 0..2_u64 {
        let (log, writes, world) =
            (log.clone(), writes.clone(), World { backend: world.backend.clone(), ..World::new() });
        writers.push(tokio::spawn(async move {
            let mut number = 0;
            while let Ok(write) = writes.acquire().await {
                write.forget();
                // Begins and ends cases, begins streams, schedules work and moves it, and signs.
                let case = 100 + number * 2 + writer;
                append(&log, lived(&world, &log, case, 7)).await;
                append(&log, begin(&log, 1_000_000 + case, 1)).await;
                close(&log, 1_000_000 + case).await;
                if number % 5 == 0 {
                    log.publish().await.unwrap();
                }
                number += 1;
            }
        }));
    }
    let mut moved = false;
    for _ in 0..4 {
        let report = fsck(&*world.backend, &config(&world), &mut |_| writes.add_permits(6)).await.unwrap();
        assert!(report.is_clean(), "{report}");
        moved |= log.size().await.unwrap() > report.size;
    }
    assert!(moved, "others write meanwhile");
    writes.close();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(check(&*world.backend, &world).await.is_clean());
}
