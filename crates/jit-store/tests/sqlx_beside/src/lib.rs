//! A service with a database of its own, by sqlx, and its evidence in SQLite.

use jit_store::SqliteBackend;

/// What such a service holds.
#[derive(Debug)]
pub struct Service {
    /// Its own data.
    pub data: sqlx::PgPool,
    /// How its own data is brought up to date.
    pub migrations: sqlx::migrate::Migrator,
    /// Its evidence.
    pub evidence: SqliteBackend,
}
