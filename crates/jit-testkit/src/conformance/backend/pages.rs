//! Whole answers out of the pages a backend gives: every page must be within what was asked for, and none is empty before
//! the end.

use std::ops::Range;

use jit_store::{Backend, DueKey, DueRow, LookupKey, RecordKey, Row, StreamKey, StreamState};

pub(super) async fn rows(backend: &dyn Backend, range: Range<u64>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let page = backend.rows(at..range.end).await.unwrap();
        if page.is_empty() {
            break;
        }
        for row in page {
            assert_eq!(row.index, at, "rows come dense from the start of the range");
            assert!(at < range.end, "a row beyond the range");
            at += 1;
            rows.push(row);
        }
    }
    rows
}

pub(super) async fn stream_rows(backend: &dyn Backend, key: StreamKey, from: u64, limit: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut at = from;
    loop {
        let page = backend.stream_rows(key, at, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return rows;
        }
        for row in page {
            assert_eq!((row.stream, row.n), (key, at), "rows of the stream come dense from the number asked for");
            at += 1;
            rows.push(row);
        }
    }
}

pub(super) async fn lookup(backend: &dyn Backend, key: LookupKey, from: u64, limit: usize) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    let mut at = from;
    loop {
        let page = backend.lookup(key, at, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return found;
        }
        for row in page {
            assert!(row.index >= at, "index {} before {at}", row.index);
            at = row.index + 1;
            found.push(row.index);
        }
    }
}

pub(super) async fn due(backend: &dyn Backend, before_us: i64, limit: usize) -> Vec<DueRow> {
    let mut found: Vec<DueRow> = Vec::new();
    let mut after: Option<(i64, DueKey)> = None;
    loop {
        let page = backend.due(after, before_us, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return found;
        }
        for row in page {
            let place = Some((row.at_us, row.key));
            assert!(place > after, "due work comes by time, then key");
            after = place;
            found.push(row);
        }
    }
}

pub(super) async fn scan_streams(backend: &dyn Backend, limit: usize) -> Vec<(StreamKey, StreamState)> {
    let mut found: Vec<(StreamKey, StreamState)> = Vec::new();
    loop {
        let after = found.last().map(|(key, _)| *key);
        let page = backend.scan_streams(after, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return found;
        }
        for (key, state) in page {
            assert!(found.last().is_none_or(|(last, _)| *last < key), "streams come by key");
            found.push((key, state));
        }
    }
}

pub(super) async fn scan_lookups(backend: &dyn Backend, limit: usize) -> Vec<(LookupKey, u64)> {
    let mut found: Vec<(LookupKey, u64)> = Vec::new();
    loop {
        let after = found.last().copied();
        let page = backend.scan_lookups(after, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return found;
        }
        for entry in page {
            assert!(found.last().is_none_or(|last| *last < entry), "look-up entries come by key and index");
            found.push(entry);
        }
    }
}

pub(super) async fn scan_records(backend: &dyn Backend, limit: usize) -> Vec<(RecordKey, u64)> {
    let mut found: Vec<(RecordKey, u64)> = Vec::new();
    loop {
        let after = found.last().map(|(id, _)| *id);
        let page = backend.scan_records(after, limit).await.unwrap();
        within(page.len(), limit);
        if page.is_empty() {
            return found;
        }
        for (id, index) in page {
            assert!(found.last().is_none_or(|(last, _)| *last < id), "record ids come in order");
            found.push((id, index));
        }
    }
}

fn within(found: usize, limit: usize) {
    assert!(found <= limit, "{found} where at most {limit} were asked for");
}
