//! Measures durable appends beside their baselines and peers: all loads in every round, against one server, and the table of
//! their medians. `append [ROUNDS [SECONDS [CALLERS]]]`, where CALLERS leaves out whatever has another number of them; run it by
//! `scripts/bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the output")]

mod loads;
mod measuring;
mod results;
mod table;

use std::env;
use std::error::Error;

use jit_testkit::TestPostgres;

use crate::measuring::measure;
use crate::results::Results;
use crate::table::Table;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let rounds: u32 = args.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let seconds: u64 = args.next().map_or(Ok(2), |seconds| seconds.parse())?;
    let callers: Option<usize> = args.next().map(|callers| callers.parse()).transpose()?;
    let program = env::current_exe()?;
    let programs = program.parent().ok_or("this program is in no folder")?;

    let server = TestPostgres::durable();
    let mut results = Results::default();
    for round in 1..=rounds {
        for load in loads::all().into_iter().filter(|load| callers.is_none_or(|only| load.callers == only)) {
            let measured = measure(&server, programs, &load, seconds).await.map_err(|error| error.to_string());
            eprintln!("round {round} of {rounds}: {} by {}: {measured:?}", load.title(), load.callers);
            results.add(load, measured);
        }
    }
    print!("{}", Table(&results));
    Ok(())
}
