//! One load of the append benchmark in a process of its own: `load KIND --url URL --callers N --seconds S --bytes B`
//! prints one line of JSON. The driver is `append`.
#![allow(clippy::print_stdout, reason = "the result is the output")]

mod connecting;
mod head_lock;
mod ours;
mod raw;
mod rows;
mod single;
mod sqlite;

use std::error::Error;
use std::sync::Arc;

use crate::connecting::store;
use jit_bench_load::Setting;
use jit_store::{MemoryBackend, SqliteBackend};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let kind = args.next().unwrap_or_default();
    let setting = Setting::parse(args)?;
    let line = match kind.as_str() {
        "single" => single::run(&setting).await?,
        "head-lock" => head_lock::run(&setting).await?,
        "raw" => raw::run(&setting).await?,
        "ours" => ours::run(store(&setting.url, false).await?, &setting).await?,
        "ours-early" => ours::run(store(&setting.url, true).await?, &setting).await?,
        "ours-memory" => ours::run(Arc::new(MemoryBackend::new()), &setting).await?,
        "raw-sqlite" => sqlite::raw(&setting).await?,
        "ours-sqlite" => ours::run(Arc::new(SqliteBackend::create_new(&setting.url).await?), &setting).await?,
        other => return Err(format!("there is no load {other:?}").into()),
    };
    println!("{line}");
    Ok(())
}
