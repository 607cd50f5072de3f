//! A real PostgreSQL for tests: found on the machine or given by URL, a database for each test, and ways to break it.

mod clock_off;
mod cluster;
mod database;
mod locate;
mod proxy;
mod tls;

pub use cluster::TestPostgres;
pub use database::TestDatabase;
pub use proxy::{Cut, CuttingProxy};
