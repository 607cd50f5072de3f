//! How a log's PostgreSQL is reached.

use std::fmt;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::error::PostgresError;

/// Longer names would make role names longer than PostgreSQL's 63 bytes.
const MAX_SCHEMA: usize = 48;

/// The name of the schema that holds one log, and from which the names of its roles are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(String);

impl SchemaName {
    /// Checks a name: a lower-case letter or `_`, then those and digits, at most 48 characters, not beginning with `pg_`.
    ///
    /// # Errors
    /// [`PostgresError::SchemaName`] for any other.
    ///
    /// ```
    /// use jit_store::SchemaName;
    ///
    /// assert!(SchemaName::new("jit_eu").is_ok());
    /// assert!(SchemaName::new("jit\"; DROP").is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self, PostgresError> {
        let letter = |c: char| c.is_ascii_lowercase() || c == '_';
        let starts = name.starts_with(letter) && !name.starts_with("pg_");
        if starts && name.len() <= MAX_SCHEMA && name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
            Ok(Self(name.to_owned()))
        } else {
            Err(PostgresError::SchemaName { name: name.to_owned() })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SQL in which `{schema}` stands for the name.
    pub(super) fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", &self.0)
    }
}

/// Where a log is kept, and with how much patience.
///
/// The connection must be a session of its own, to PostgreSQL itself. Poolers are not tested; in transaction mode none can work.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) connection: Config,
    pub(super) schema: SchemaName,
    pub(super) tls: Option<ClientConfig>,
    pub(super) readers: usize,
    pub(super) connect_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) early_lock_release: bool,
}

impl PostgresConfig {
    /// The log in schema `jit` of the database that `connection` leads to; without TLS, with up to 8 connections to read with.
    #[must_use]
    pub fn new(connection: Config) -> Self {
        Self {
            connection,
            schema: SchemaName("jit".to_owned()),
            tls: None,
            readers: 8,
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            early_lock_release: false,
        }
    }

    /// The schema that holds the log.
    #[must_use]
    pub fn schema(mut self, schema: SchemaName) -> Self {
        self.schema = schema;
        self
    }

    /// Speaks TLS, and nothing else.
    #[must_use]
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.connection.ssl_mode(SslMode::Require);
        self.tls = Some(config);
        self
    }

    /// How many connections may read at once, beside the one or two that write. At least one.
    #[must_use]
    pub fn readers(mut self, connections: usize) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// How long a connection may take to be ready, 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for the log's lock, 10 seconds by default. In whole milliseconds, from one to 24 days.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a statement may run, and how long a writer may keep the lock without one, 30 seconds by default. In whole
    /// milliseconds, from one to 24 days. An answer that is not there five seconds later is not waited for any more.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Frees the log's lock before a commit is on disk, for several busy processes on one log. The commit is answered only when
    /// it is on disk, as without it: a second connection, opened before, makes sure. Off by default.
    #[must_use]
    pub fn early_lock_release(mut self, early: bool) -> Self {
        self.early_lock_release = early;
        self
    }

    /// How long to wait for an answer: the server gives up first, if it is there at all.
    pub(super) fn patience(&self) -> Duration {
        self.statement_timeout.saturating_add(Duration::from_secs(5))
    }
}

impl fmt::Debug for PostgresConfig {
    /// Without the connection's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("connection", &self.connection)
            .field("schema", &self.schema)
            .field("tls", &self.tls.is_some())
            .field("readers", &self.readers)
            .field("early_lock_release", &self.early_lock_release)
            .finish_non_exhaustive()
    }
}
