//! One row per commit, one connection a caller: what a team writes by hand.

use std::error::Error;
use std::time::Instant;

use jit_bench_load::{EVENTS_PER_STREAM, Setting, Tally, Window};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::connecting::connect;

const SCHEMA: &str = "CREATE TABLE event (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream bytea NOT NULL,
    version bigint NOT NULL,
    body bytea NOT NULL,
    UNIQUE (stream, version)
)";

pub(crate) async fn run(setting: &Setting) -> Result<String, Box<dyn Error>> {
    connect(&setting.url).await?.batch_execute(SCHEMA).await?;
    let insert = "INSERT INTO event (stream, version, body) VALUES ($1, $2, $3)";
    inserting(setting, insert).await
}

/// Every caller executes the statement, which commits by itself, with a stream of 32 bytes, a version and a body.
pub(crate) async fn inserting(setting: &Setting, statement: &'static str) -> Result<String, Box<dyn Error>> {
    let mut clients = Vec::new();
    for _ in 0..setting.callers {
        clients.push(connect(&setting.url).await?);
    }
    let window = Window::open(setting.time);
    let mut callers = JoinSet::new();
    for (caller, client) in clients.into_iter().enumerate() {
        callers.spawn(insert(client, statement, caller, setting.text().into_bytes(), window));
    }
    let mut all = Tally::default();
    while let Some(tally) = callers.join_next().await {
        all.add(tally??);
    }
    Ok(all.line(&window))
}

async fn insert(
    client: Client,
    statement: &str,
    caller: usize,
    body: Vec<u8>,
    window: Window,
) -> Result<Tally, tokio_postgres::Error> {
    let statement = client.prepare(statement).await?;
    let mut tally = Tally::default();
    let mut n = 0;
    while window.is_open() {
        let (case, version) = (n / EVENTS_PER_STREAM, (n % EVENTS_PER_STREAM).cast_signed());
        let stream = format!("{caller:016}{case:016}").into_bytes();
        let begun = Instant::now();
        client.execute(&statement, &[&stream, &version, &body]).await?;
        tally.done(begun);
        n += 1;
    }
    Ok(tally)
}
