//! One connection for one act, which ends with it: dropping an act leaves nothing open.

use std::{fmt, time::Duration};

use jit_core::{Code, code};
use rustls::ClientConfig;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, Error, NoTls, config::SslMode, error::Severity};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where roles are made, and with how much patience.
#[derive(Clone)]
pub struct PostgresTarget {
    connection: Config,
    tls: Option<MakeRustlsConnect>,
    patience: Duration,
}

impl PostgresTarget {
    /// The server that `connection` leads to, as a role that may create roles; without TLS. Each answer is waited for ten seconds.
    #[must_use]
    pub fn new(connection: Config) -> Self {
        Self { connection, tls: None, patience: Duration::from_secs(10) }
    }

    /// Speaks TLS, and nothing else.
    #[must_use]
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.connection.ssl_mode(SslMode::Require);
        self.tls = Some(MakeRustlsConnect::new(config));
        self
    }

    /// How long to wait for a connection, and for each statement.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects under a name that other sessions see.
    pub(super) async fn session(&self, name: &str) -> Result<Session, Trouble> {
        let mut connection = self.connection.clone();
        connection.application_name(name);
        let opening = async {
            let session = match self.tls.clone() {
                Some(tls) => {
                    let (client, driver) = connection.connect(tls).await?;
                    Session { client, driver: tokio::spawn(async move { drop(driver.await) }), patience: self.patience }
                }
                None => {
                    let (client, driver) = connection.connect(NoTls).await?;
                    Session { client, driver: tokio::spawn(async move { drop(driver.await) }), patience: self.patience }
                }
            };
            let milliseconds = self.patience.as_millis();
            // Whoever may make a function in a schema of the path would otherwise run it as the issuer.
            let settings = format!(
                "SET search_path = pg_catalog, pg_temp; SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}; \
                 SET standard_conforming_strings = on; SET client_min_messages = error"
            );
            session.client.batch_execute(&settings).await?;
            Ok::<_, Error>(session)
        };
        // Whatever keeps a connection from being made, nothing was asked of the server.
        match timeout(self.patience, opening).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(Trouble::Refused(Trouble::of(&error).code())),
            Err(_) => Err(Trouble::Refused(code!("unreachable"))),
        }
    }
}

impl fmt::Debug for PostgresTarget {
    /// Without the connection's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTarget")
            .field("hosts", &self.connection.get_hosts())
            .field("database", &self.connection.get_dbname())
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// A statement did not do what it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server said no: it did nothing.
    Refused(Code),
    /// A role or a prepared transaction of this name exists.
    Exists,
    /// A role or a prepared transaction of this name does not exist.
    Absent,
    /// Something depends on the role.
    Depended,
    /// The server gave up waiting for somebody else, and did nothing.
    Waited,
    /// The answer did not come.
    Lost(Code),
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Self {
        let Some(answer) = error.as_db_error() else { return Self::Lost(code!("answer_lost")) };
        // A server that goes down says so after it may have done what it was asked for.
        if answer.parsed_severity() != Some(Severity::Error) {
            return Self::Lost(code!("server_going_down"));
        }
        match answer.code().code() {
            "42710" => Self::Exists,
            "42704" => Self::Absent,
            "2BP01" => Self::Depended,
            "57014" | "55P03" => Self::Waited,
            state => Self::Refused(
                Code::new(format!("sqlstate_{}", state.to_ascii_lowercase())).unwrap_or(code!("sqlstate")),
            ),
        }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused(cause) | Self::Lost(cause) => cause.clone(),
            Self::Exists => code!("exists_already"),
            Self::Absent => code!("does_not_exist"),
            Self::Depended => code!("role_is_depended_on"),
            Self::Waited => code!("waited_too_long"),
        }
    }
}

/// A connection, which goes with this value.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    patience: Duration,
}

impl Session {
    pub(super) async fn run(&self, sql: &str) -> Result<(), Trouble> {
        self.in_time(self.client.batch_execute(sql)).await
    }

    pub(super) async fn rows(
        &self,
        sql: &str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Trouble> {
        self.in_time(self.client.query(sql, values)).await
    }

    /// The server gives up first, if it is there at all.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        let patience = self.patience.saturating_add(Duration::from_secs(5));
        match timeout(patience, answer).await {
            Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
            Err(_) => Err(Trouble::Lost(code!("timed_out"))),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
