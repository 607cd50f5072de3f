//! Appends through `disintegrate-postgres`: `EventStore::append` with a query for the caller's own stream and the event
//! seen last. Its serializable transactions refuse appends to different streams too; such an append is tried again.
//!
//! Needs PostgreSQL 16: the crate's own schema has a hexadecimal literal, which 15 does not know.

use std::time::Instant;

use disintegrate::serde::json::Json;
use disintegrate::{Event, EventStore, StreamQuery, query};
use disintegrate_postgres::{Error, PgEventId, PgEventStore};
use jit_bench_load::{EVENTS_PER_STREAM, Setting, Tally, Window};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

/// What PostgreSQL calls a transaction that could not be serialized.
const SERIALIZATION_FAILURE: &str = "40001";

type Store = PgEventStore<CaseEvent, Json<CaseEvent>>;

#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
enum CaseEvent {
    Recorded {
        #[id]
        case_id: String,
        text: String,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = Setting::from_args()?;
    let connections = u32::try_from(setting.callers)?.min(64);
    let pool = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    let store = Store::try_new(pool.connect(&setting.url).await?, Json::default()).await?;

    let window = Window::open(setting.time);
    let mut callers = JoinSet::new();
    for caller in 0..setting.callers {
        callers.spawn(append(store.clone(), caller, setting.text(), window));
    }
    let mut all = Tally::default();
    while let Some(tally) = callers.join_next().await {
        all.add(tally?);
    }
    println!("{}", all.line(&window));
    Ok(())
}

async fn append(store: Store, caller: usize, text: String, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut n = 0;
    let mut seen: PgEventId = 0;
    while window.is_open() {
        let case_id = format!("{caller}-{}", n / EVENTS_PER_STREAM);
        let own: StreamQuery<PgEventId, CaseEvent> = query!(CaseEvent; case_id == case_id.clone());
        let event = CaseEvent::Recorded { case_id, text: text.clone() };
        let begun = Instant::now();
        while window.is_open() {
            match store.append(vec![event.clone()], own.clone(), seen).await {
                Ok(events) => {
                    tally.done(begun);
                    seen = events.last().map_or(seen, |event| event.id());
                    n += 1;
                    break;
                }
                Err(error) if is_conflict(&error) => tally.retried(),
                Err(error) => panic!("an append failed: {error}"),
            }
        }
    }
    tally
}

/// The crate translates the refusal of a commit only.
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::Concurrency => true,
        Error::Database(error) => {
            error.as_database_error().and_then(|error| error.code()).as_deref() == Some(SERIALIZATION_FAILURE)
        }
        _ => false,
    }
}
