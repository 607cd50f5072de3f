//! Appends through `eventually-postgres`: `EventStore::append` with the exact version expected, one connection a caller.

use std::sync::Arc;
use std::time::Instant;

use eventually_core::store::{EventStore as _, Expected};
use eventually_postgres::{EventStore, EventStoreBuilder};
use jit_bench_load::{EVENTS_PER_STREAM, Setting, Tally, Window};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recorded {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = Setting::from_args()?;
    let mut stores = Vec::new();
    for _ in 0..setting.callers {
        let mut client = connect(&setting.url).await?;
        let builder = EventStoreBuilder::migrate_database(&mut client).await?.builder(Arc::new(client));
        stores.push(builder.build::<String, Recorded>("case").await?);
    }

    let window = Window::open(setting.time);
    let callers: Vec<_> = stores
        .into_iter()
        .enumerate()
        .map(|(caller, store)| tokio::spawn(append(store, caller, setting.text(), window)))
        .collect();
    let mut all = Tally::default();
    for caller in callers {
        all.add(caller.await?);
    }
    println!("{}", all.line(&window));
    Ok(())
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move { connection.await.expect("the connection lasts") });
    Ok(client)
}

async fn append(mut store: EventStore<String, Recorded>, caller: usize, text: String, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut n = 0;
    while window.is_open() {
        let (case, place) = (n / EVENTS_PER_STREAM, n % EVENTS_PER_STREAM);
        let expected = Expected::Exact(place as u32);
        let events = vec![Recorded { text: text.clone() }];
        let begun = Instant::now();
        let appended = store.append(format!("{caller}-{case}"), expected, events).await;
        appended.expect("an append to a stream of one's own");
        tally.done(begun);
        n += 1;
    }
    tally
}
