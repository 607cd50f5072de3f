//! Appends through `postgres-es` (cqrs-es): `EventStore::commit`, whose primary key on the sequence refuses a second
//! writer. The aggregate is not loaded before each commit, which the framework would do: that favours the peer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{EventStoreAggregateContext, PersistedEventStore};
use cqrs_es::{Aggregate, DomainEvent, EventStore};
use jit_bench_load::{EVENTS_PER_STREAM, Setting, Tally, Window};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

/// The crate's own `db/init.sql`, without the tables for snapshots and views.
const SCHEMA: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

type Store = PersistedEventStore<PostgresEventRepository, Case>;

#[derive(Default, Serialize, Deserialize)]
struct Case;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    text: String,
}

impl DomainEvent for Recorded {
    fn event_type(&self) -> String {
        "recorded".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Case {
    const TYPE: &'static str = "case";
    type Command = ();
    type Event = Recorded;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, _: Recorded) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = Setting::from_args()?;
    let connections = u32::try_from(setting.callers)?.min(64);
    let pool = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    let pool = pool.connect(&setting.url).await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    let store = Arc::new(Store::new_event_store(PostgresEventRepository::new(pool)));

    let window = Window::open(setting.time);
    let mut callers = JoinSet::new();
    for caller in 0..setting.callers {
        callers.spawn(append(Arc::clone(&store), caller, setting.text(), window));
    }
    let mut all = Tally::default();
    while let Some(tally) = callers.join_next().await {
        all.add(tally?);
    }
    println!("{}", all.line(&window));
    Ok(())
}

async fn append(store: Arc<Store>, caller: usize, text: String, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut n = 0;
    while window.is_open() {
        let (case, place) = (n / EVENTS_PER_STREAM, n % EVENTS_PER_STREAM);
        let context = EventStoreAggregateContext {
            aggregate_id: format!("{caller}-{case}"),
            aggregate: Case,
            current_sequence: place as usize,
            current_snapshot: None,
        };
        let event = Recorded { text: text.clone() };
        let begun = Instant::now();
        store.commit(vec![event], context, HashMap::new()).await.expect("an append to a stream of one's own");
        tally.done(begun);
        n += 1;
    }
    tally
}
