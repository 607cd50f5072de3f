//! Reading: order, limits, and what a read sees of commits.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jit_store::{RecordKey, Row, StreamKey, TileKey, TreeRead};

use super::{
    Subject,
    model::{all_leaves, blob, due, hash, look_up, same_rows, stream, tile},
    pages,
};

/// Arguments at which a conversion to signed numbers goes wrong.
const EXTREMES: [u64; 5] = [1 << 31, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX];

pub(super) async fn rows_come_by_index(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 1, 3]).await;
    model.write(&*backend, &[1, 2]).await;
    for start in 0..8_u64 {
        for end in 0..8_u64 {
            let range = start.min(6)..end.clamp(start.min(6), 6);
            let expected: Vec<Row> = model.rows.iter().filter(|row| range.contains(&row.index)).cloned().collect();
            same_rows(&pages::rows(&*backend, Range { start, end }).await, &expected);
            let page = backend.rows(Range { start, end }).await.unwrap();
            assert_eq!(page.is_empty(), expected.is_empty(), "{start}..{end}");
        }
    }
    for end in EXTREMES {
        same_rows(&pages::rows(&*backend, 0..end).await, &model.rows);
        same_rows(&pages::rows(&*backend, 5..end).await, &model.rows[5..]);
        assert_eq!(backend.rows(6..end).await.unwrap(), [], "{end}");
        assert_eq!(backend.rows(end..u64::MAX).await.unwrap(), [], "{end}");
        assert_eq!(backend.rows(Range { start: end, end: 0 }).await.unwrap(), [], "a range that ends before it starts");
    }
}

pub(super) async fn stream_rows_come_by_number(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    model.write(&*backend, &[2, 1, 3, 1]).await;
    model.write(&*backend, &[1, 2, 1]).await;
    let of_one: Vec<Row> = model.rows.iter().filter(|row| row.stream == stream(1)).cloned().collect();
    assert_eq!(of_one.len(), 5);
    for from in 0..7 {
        for limit in [1, 2, 5, 100] {
            let expected = &of_one[from.min(5)..];
            same_rows(&pages::stream_rows(&*backend, stream(1), from as u64, limit).await, expected);
        }
    }
    assert_eq!(pages::stream_rows(&*backend, stream(4), 0, 9).await, [], "a stream without records");
    let beside = StreamKey::from_bytes({
        let mut bytes = [1; 32];
        bytes[31] = 2;
        bytes
    });
    assert_eq!(pages::stream_rows(&*backend, beside, 0, 9).await, [], "a key that differs in its last byte");
    for from in EXTREMES {
        assert_eq!(backend.stream_rows(stream(1), from, 9).await.unwrap(), [], "from number {from}");
    }
}

pub(super) async fn lookups_come_by_index(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 2, 1, 1]);
    batch.projections.lookups = vec![(look_up(5), 3), (look_up(5), 1), (look_up(6), 2), (look_up(5), 4)];
    model.commit(&*backend, batch).await;
    let mut batch = model.next(&[1, 2]);
    batch.projections.lookups = vec![(look_up(5), 6), (look_up(6), 6), (look_up(7), 5)];
    model.commit(&*backend, batch).await;
    let of_five = [1, 3, 4, 6];
    for from in 0..9 {
        for limit in [1, 2, 100] {
            let expected: Vec<u64> = of_five.into_iter().filter(|index| *index >= from).collect();
            assert_eq!(pages::lookup(&*backend, look_up(5), from, limit).await, expected, "from {from}");
        }
    }
    assert_eq!(pages::lookup(&*backend, look_up(6), 0, 9).await, [2, 6]);
    assert_eq!(pages::lookup(&*backend, look_up(4), 0, 9).await, [0; 0], "a key that nothing is filed under");
    let found = backend.lookup(look_up(7), 0, 9).await.unwrap();
    same_rows(&found, &model.rows[5..6]);
    for from in EXTREMES {
        assert_eq!(backend.lookup(look_up(5), from, 9).await.unwrap(), [], "from {from}");
    }
    let entries = [(5, 1), (5, 3), (5, 4), (5, 6), (6, 2), (6, 6), (7, 5)].map(|(key, index)| (look_up(key), index));
    for limit in [1, 2, 3, 100] {
        assert_eq!(pages::scan_lookups(&*backend, limit).await, entries);
    }
    for (after, rest) in [((5, 2), 1), ((5, 6), 4), ((5, u64::MAX), 4), ((4, 9), 0), ((7, 5), 7), ((9, 0), 7)] {
        let found = backend.scan_lookups(Some((look_up(after.0), after.1)), 1).await.unwrap();
        assert_eq!(found.first(), entries.get(rest), "after {after:?}");
    }
}

pub(super) async fn the_tree_answers_in_the_order_asked(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 2, 3, 4, 5]);
    batch.tiles = vec![tile(0, 2), tile(0, 0), tile(1, 0), tile(0, 1), tile(7, 0), tile(0, 4)];
    model.commit(&*backend, batch).await;
    let ranges = [2..4, 0..6, 0..0, 5..9, 1..2, 6..9, 2..4, Range { start: 4, end: 2 }, 0..u64::MAX, 1 << 63..u64::MAX];
    let keys = [(0, 1), (0, 3), (1, 0), (0, 0), (0, 1), (7, 0), (255, u64::MAX), (0, 1 << 63), (2, 0)];
    let roots = [
        (0, 0..3),
        (0, 1..2),
        (0, 0..9),
        (0, 3..9),
        (1, 0..9),
        (0, 0..3),
        (0, 0..0),
        (9, 0..1),
        (0, 4..u64::MAX),
        (255, 1 << 63..u64::MAX),
        (0, Range { start: 2, end: 1 }),
    ];
    let read = TreeRead {
        leaves: ranges.to_vec(),
        tiles: keys.map(|(level, index)| TileKey { level, index }).to_vec(),
        roots: roots.to_vec(),
    };
    let found = subject.other().tree(read.clone()).await.unwrap();
    let leaves = ranges.map(|range| (range.start..range.end.min(6)).map(|index| hash(b'l', index)).collect::<Vec<_>>());
    assert_eq!(found.leaves, leaves, "leaves of each range, as far as there are any");
    let stored = [(0, 0), (0, 1), (0, 2), (0, 4), (1, 0), (7, 0)];
    let tiles = keys.map(|(level, index)| stored.contains(&(level, index)).then(|| tile(level, index)));
    assert!(found.tiles == tiles, "the tile of each key, or none");
    let expected = roots.map(|(level, range)| {
        let there = range.take_while(|index| stored.contains(&(level, *index)));
        there.map(|index| tile(level, index).root).collect::<Vec<_>>()
    });
    assert_eq!(found.roots, expected, "roots of each range, up to the first that is not stored");
    let only = backend.tree(all_leaves(3..5)).await.unwrap();
    assert_eq!(only.leaves, [[hash(b'l', 3), hash(b'l', 4)]]);
    assert!(only.tiles.is_empty() && only.roots.is_empty());
    assert_eq!(backend.tree(TreeRead::default()).await.unwrap(), jit_store::TreeNodes::default());
    let many = TreeRead { leaves: (0..500).map(|at| at % 6..at % 6 + 1).collect(), ..TreeRead::default() };
    let found = backend.tree(many).await.unwrap().leaves;
    assert!(found.iter().zip(0..500).all(|(leaves, at)| *leaves == [hash(b'l', at % 6)]), "500 ranges in order");
    assert_eq!(found.len(), 500);
}

pub(super) async fn blobs_are_found_by_key(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1]);
    batch.blobs = vec![(blob(0xff), vec![1]), (blob(0), vec![2]), (blob(0x80), vec![3])];
    model.commit(&*backend, batch).await;
    for (key, expected) in [(0, Some(vec![2])), (0x80, Some(vec![3])), (0xff, Some(vec![1])), (1, None)] {
        assert_eq!(subject.other().blob(blob(key)).await.unwrap(), expected);
    }
}

pub(super) async fn scans_go_by_unsigned_bytes(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let numbers = [0x80, 0x00, 0xff, 0x7f, 0x20, 0x0a, 0x5c, 0x41, 0x61];
    let mut batch = model.next(&numbers);
    batch.projections.lookups = numbers.map(|number| (look_up(number), 1)).to_vec();
    batch.projections.due = numbers.map(|number| due(number, 5)).to_vec();
    model.commit(&*backend, batch).await;
    let mut sorted = numbers;
    sorted.sort_unstable();
    let streams: Vec<_> = model.streams.iter().map(|(key, state)| (*key, *state)).collect();
    for limit in [1, 2, 5, 100] {
        assert_eq!(pages::scan_streams(&*backend, limit).await, streams);
        assert_eq!(pages::scan_lookups(&*backend, limit).await, sorted.map(|number| (look_up(number), 1)));
        assert_eq!(pages::due(&*backend, 9, limit).await, sorted.map(|number| due(number, 5)));
    }
    for limit in [1, 3, 100] {
        let mut records: Vec<_> = model.rows.iter().map(|row| (row.record, row.index)).collect();
        records.sort_unstable();
        assert_eq!(pages::scan_records(&*backend, limit).await, records);
    }
    assert_eq!(backend.scan_records(Some(RecordKey::from_bytes([0xff; 16])), 9).await.unwrap(), []);
    let after_one_that_is_not_there = backend.scan_streams(Some(stream(0x42)), 1).await.unwrap();
    assert_eq!(after_one_that_is_not_there.first().map(|(key, _)| *key), Some(stream(0x5c)));
    assert_eq!(backend.scan_streams(Some(stream(0xff)), 9).await.unwrap(), []);
}

pub(super) async fn limits_may_be_none_or_all(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 2]);
    batch.projections.lookups = vec![(look_up(1), 1), (look_up(1), 2)];
    batch.projections.due = vec![due(1, 5), due(2, 5)];
    model.commit(&*backend, batch).await;
    assert_eq!(backend.rows(1..1).await.unwrap(), []);
    assert_eq!(backend.stream_rows(stream(1), 0, 0).await.unwrap(), []);
    assert_eq!(backend.lookup(look_up(1), 0, 0).await.unwrap(), []);
    assert_eq!(backend.due(None, 9, 0).await.unwrap(), []);
    assert_eq!(backend.scan_streams(None, 0).await.unwrap(), []);
    assert_eq!(backend.scan_lookups(None, 0).await.unwrap(), []);
    assert_eq!(backend.scan_records(None, 0).await.unwrap(), []);
    for limit in [usize::MAX, i64::MAX as usize, usize::MAX - 1, u32::MAX as usize] {
        assert_eq!(pages::stream_rows(&*backend, stream(1), 0, limit).await.len(), 2);
        assert_eq!(pages::lookup(&*backend, look_up(1), 0, limit).await.len(), 2);
        assert_eq!(pages::due(&*backend, 9, limit).await.len(), 2);
        assert_eq!(pages::scan_streams(&*backend, limit).await.len(), 2);
        assert_eq!(pages::scan_lookups(&*backend, limit).await.len(), 2);
        assert_eq!(pages::scan_records(&*backend, limit).await.len(), 3);
    }
}

pub(super) async fn large_rows_come_all(subject: Subject) {
    let (backend, mut model) = subject.created().await;
    let mut batch = model.next(&[1, 1, 2, 1, 1]);
    for (row, byte) in batch.rows.iter_mut().zip(1..) {
        row.payload = Some(vec![byte; 4 << 20]);
    }
    batch.projections.lookups = (1..6).map(|index| (look_up(1), index)).collect();
    model.commit(&*backend, batch).await;
    same_rows(&pages::rows(&*backend, 0..u64::MAX).await, &model.rows);
    same_rows(&pages::rows(&*backend, 2..5).await, &model.rows[2..5]);
    let of_one: Vec<Row> = model.rows.iter().filter(|row| row.stream == stream(1)).cloned().collect();
    same_rows(&pages::stream_rows(&*backend, stream(1), 0, 100).await, &of_one);
    assert_eq!(pages::lookup(&*backend, look_up(1), 0, 100).await, [1, 2, 3, 4, 5]);
}

pub(super) async fn every_handle_sees_a_commit(subject: Subject) {
    let (_, mut model) = subject.created().await;
    for round in 0..6 {
        let mut batch = model.next(&[round, 1]);
        let index = model.size();
        batch.projections.lookups = vec![(look_up(round), index)];
        batch.projections.due = vec![due(round, i64::from(round))];
        batch.blobs = vec![(blob(round), vec![round])];
        batch.tiles = vec![tile(0, round.into())];
        model.commit(&*subject.handle(round.into()), batch).await;
        let reader = subject.handle(usize::from(round) + 1);
        model.check(&*reader).await;
        assert_eq!(pages::lookup(&*reader, look_up(round), 0, 9).await, [index]);
        assert_eq!(pages::due(&*reader, 99, 9).await.len(), usize::from(round) + 1);
        assert_eq!(reader.blob(blob(round)).await.unwrap(), Some(vec![round]));
        let read = TreeRead { roots: vec![(0, 0..99)], ..TreeRead::default() };
        assert_eq!(reader.tree(read).await.unwrap().roots[0].len(), usize::from(round) + 1);
        let size = u64::from(round) + 1;
        let after = (round > 0).then_some(size - 1);
        assert!(subject.handle(round.into()).save_checkpoint(after, super::model::checkpoint(size)).await.unwrap());
        assert_eq!(reader.checkpoint(None).await.unwrap().map(|row| row.size), Some(size));
    }
}

pub(super) async fn reads_see_whole_commits(subject: Subject) {
    const PER_COMMIT: u64 = 3;
    let (backend, mut model) = subject.created().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (backend, done) = (subject.other(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) {
                let size = backend.head().await.unwrap().size;
                assert_eq!(size % PER_COMMIT, 1, "a head within a commit");
                assert!(size >= seen, "the log went back from {seen} to {size}");
                let read = all_leaves(0..u64::MAX);
                let leaves = backend.tree(read).await.unwrap().leaves[0].len() as u64;
                assert_eq!(leaves % PER_COMMIT, 1, "leaves of part of a commit");
                assert!(leaves >= size, "a read sees less than one before it");
                let rows = pages::rows(&*backend, leaves - 1..leaves).await;
                assert_eq!(rows.len(), 1, "a row below one that was seen");
                let next = backend.stream_head(stream(1)).await.unwrap().unwrap().next;
                assert!(next > (leaves - 1) / PER_COMMIT, "a stream head older than the rows");
                seen = leaves;
                tokio::task::yield_now().await;
            }
        })
    };
    for _ in 0..60 {
        model.write(&*backend, &[1, 2, 3]).await;
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    model.check(&*subject.other()).await;
}
