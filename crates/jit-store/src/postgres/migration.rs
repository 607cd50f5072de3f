//! The schema, step by step.

use super::PostgresBackend;
use super::config::{PostgresConfig, SchemaName};
use super::connection::{Connector, Session};
use super::error::{PostgresError, failed};
use super::value::{fixed, get};
use crate::backend::BackendError;
use crate::prepared::stream_key;
use jit_core::StreamId;
use tokio_postgres::error::SqlState;

/// One step of the schema, as data, for those who apply migrations with a tool of their own or want to read them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number, from 1, dense.
    pub version: i32,
    /// What it is about.
    pub name: &'static str,
    /// Its statements, in which `{schema}` stands for the schema's name, and `{gov}` and `{erasure}` for the keys of those
    /// streams in hexadecimal.
    pub sql: &'static str,
}

/// All steps, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "tables", sql: include_str!("migrations/0001_tables.sql") },
    Migration { version: 2, name: "refusals", sql: include_str!("migrations/0002_refusals.sql") },
    Migration { version: 3, name: "erasure", sql: include_str!("migrations/0003_erasure.sql") },
    Migration { version: 4, name: "partitions", sql: include_str!("migrations/0004_partitions.sql") },
    Migration { version: 5, name: "rights", sql: include_str!("migrations/0005_rights.sql") },
];

const BOOTSTRAP: &str = include_str!("bootstrap.sql");

impl Migration {
    /// The BLAKE3 digest of [`sql`](Self::sql), under which the schema remembers that it was applied.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(self.sql.as_bytes()).as_bytes()
    }

    fn filled(&self, schema: &SchemaName) -> String {
        let hex = |stream| data_encoding::HEXLOWER.encode(stream_key(&stream).as_bytes());
        schema.fill(self.sql).replace("{gov}", &hex(StreamId::Gov)).replace("{erasure}", &hex(StreamId::Erasure))
    }
}

impl PostgresBackend {
    /// Creates or upgrades the schema and its roles, and returns how many migrations were applied. Does nothing if there is
    /// nothing to do, and waits while another process migrates.
    ///
    /// The user needs `CREATEROLE` (unless the roles exist and it is a member of the owner's) and may create schemas.
    ///
    /// # Errors
    /// [`PostgresError::NewerSchema`] and [`PostgresError::AlteredMigration`] if the schema is not one that the known
    /// migrations lead to; whatever the database refuses.
    pub async fn migrate(config: &PostgresConfig) -> Result<usize, PostgresError> {
        let session = Connector::new(config).session().await?;
        let (client, schema) = (&session.client, &config.schema);
        // Goes with the session.
        let lock = format!("SELECT pg_advisory_lock(hashtext('jit-store migration'), hashtext('{}'))", schema.as_str());
        client.batch_execute(&lock).await.map_err(failed)?;
        in_transaction(&session, &schema.fill(BOOTSTRAP)).await?;
        let applied = applied(&session, schema).await?;
        check_known(schema, &applied)?;
        let missing = MIGRATIONS.get(applied.len()..).unwrap_or_default();
        for migration in missing {
            let Migration { version, name, .. } = migration;
            let digest = data_encoding::HEXLOWER.encode(&migration.digest());
            let record = schema.fill(&format!(
                "INSERT INTO \"{{schema}}\".migration (version, name, digest) VALUES ({version}, '{name}', '\\x{digest}')"
            ));
            let role = schema.fill("SET LOCAL ROLE \"{schema}_owner\"");
            in_transaction(&session, &format!("{role};\n{};\n{record}", migration.filled(schema))).await?;
        }
        Ok(missing.len())
    }
}

/// Refuses a schema that is not the one this library works with.
pub(super) async fn check_current(session: &Session, schema: &SchemaName) -> Result<(), PostgresError> {
    let applied = applied(session, schema).await?;
    check_known(schema, &applied)?;
    let (found, needed) = (version(applied.len()), version(MIGRATIONS.len()));
    if found == needed {
        Ok(())
    } else {
        Err(PostgresError::OlderSchema { schema: schema.as_str().to_owned(), found, needed })
    }
}

async fn in_transaction(session: &Session, sql: &str) -> Result<(), BackendError> {
    let done = session.client.batch_execute(&format!("BEGIN;\n{sql};\nCOMMIT")).await;
    if done.is_err() {
        // The session ends soon; what it began ends now.
        let _ = session.client.batch_execute("ROLLBACK").await;
    }
    done.map_err(failed)
}

/// The digests of the migrations that were applied, by version.
async fn applied(session: &Session, schema: &SchemaName) -> Result<Vec<(i32, [u8; 32])>, PostgresError> {
    let sql = schema.fill("SELECT version, digest FROM \"{schema}\".migration ORDER BY version");
    match session.client.query(&sql, &[]).await {
        Ok(rows) => {
            let read = rows.iter().map(|row| Ok((get(row, 0)?, fixed(row, 1)?)));
            Ok(read.collect::<Result<_, BackendError>>()?)
        }
        Err(error) => match error.code() {
            Some(code)
                if *code == SqlState::UNDEFINED_TABLE
                    || *code == SqlState::INVALID_SCHEMA_NAME
                    || *code == SqlState::INSUFFICIENT_PRIVILEGE =>
            {
                Err(PostgresError::NotMigrated { schema: schema.as_str().to_owned() })
            }
            _ => Err(failed(error).into()),
        },
    }
}

fn check_known(schema: &SchemaName, applied: &[(i32, [u8; 32])]) -> Result<(), PostgresError> {
    let schema = schema.as_str();
    if applied.len() > MIGRATIONS.len() {
        let found = applied.last().map_or(0, |(version, _)| *version);
        return Err(PostgresError::NewerSchema { schema: schema.to_owned(), found, known: version(MIGRATIONS.len()) });
    }
    match applied.iter().zip(MIGRATIONS).find(|(found, known)| **found != (known.version, known.digest())) {
        Some((_, known)) => Err(PostgresError::AlteredMigration { schema: schema.to_owned(), version: known.version }),
        None => Ok(()),
    }
}

fn version(migrations: usize) -> i32 {
    i32::try_from(migrations).unwrap_or(i32::MAX)
}
