//! Connections: how they are made, set up and told apart.

use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::PostgresConfig;
use super::error::{failed, unavailable};
use super::sql;
use super::value::get;
use crate::backend::BackendError;
use crate::row::Incarnation;

/// How often, and after how long, to look whether a process is gone.
const LOOKS: u32 = 50;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Makes connections that are ready for work.
#[derive(Clone)]
pub(super) struct Connector {
    connection: Config,
    tls: Option<MakeRustlsConnect>,
    connect_timeout: Duration,
    lock_timeout: Duration,
    statement_timeout: Duration,
}

/// What serves a connection.
#[derive(Debug)]
pub(super) struct ServerProcess {
    pid: i32,
    /// Processes are numbered again and again. Hidden from a user that set a role which is not a member of it.
    started: Option<String>,
}

/// A connection, which goes with this value.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    task: JoinHandle<()>,
}

impl Connector {
    pub(super) fn new(config: &PostgresConfig) -> Self {
        let mut connection = config.connection.clone();
        if connection.get_application_name().is_none() {
            connection.application_name("jit-store");
        }
        connection.connect_timeout(config.connect_timeout);
        Self {
            connection,
            tls: config.tls.clone().map(MakeRustlsConnect::new),
            connect_timeout: config.connect_timeout,
            lock_timeout: config.lock_timeout,
            statement_timeout: config.statement_timeout,
        }
    }

    pub(super) fn config(&self) -> Config {
        self.connection.clone()
    }

    pub(super) async fn session(&self) -> Result<Session, BackendError> {
        let opening = async {
            let (client, task) = self.open().await?;
            let session = Session { client, task };
            self.set_up(&session.client).await?;
            Ok(session)
        };
        timeout(self.connect_timeout, opening).await.map_err(unavailable)?.map_err(failed)
    }

    async fn open(&self) -> Result<(Client, JoinHandle<()>), Error> {
        // What goes wrong with a connection, its next use says.
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.connection.connect(tls).await?;
                Ok((client, tokio::spawn(async move { drop(connection.await) })))
            }
            None => {
                let (client, connection) = self.connection.connect(NoTls).await?;
                Ok((client, tokio::spawn(async move { drop(connection.await) })))
            }
        }
    }

    /// Settings that the contract rests on, whatever the server's, the database's or the user's defaults are.
    async fn set_up(&self, client: &Client) -> Result<(), Error> {
        let (statement, lock) = (milliseconds(self.statement_timeout), milliseconds(self.lock_timeout));
        // Every name is PostgreSQL's own. One plan for all, by the indexes, also when it was made while the tables were empty;
        // neither a compiler nor helpers for queries of microseconds. A writer that vanished loses the lock.
        let settings = format!(
            "SET search_path = pg_catalog, pg_temp; \
             SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE; \
             SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
             SET idle_in_transaction_session_timeout = {statement}; SET plan_cache_mode = force_generic_plan; SET jit = off; \
             SET max_parallel_workers_per_gather = 0; \
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        );
        client.batch_execute(&settings).await
    }
}

/// As PostgreSQL counts a time-out, to which none at all would be no limit.
fn milliseconds(timeout: Duration) -> u128 {
    timeout.as_millis().clamp(1, u128::from(i32::MAX.unsigned_abs()))
}

impl Connect for Connector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            let (client, task) = self.open().await?;
            self.set_up(&client).await?;
            Ok((client, task))
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    pub(super) async fn process(&self) -> Result<ServerProcess, BackendError> {
        let sql =
            "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = self.client.query_one(sql, &[]).await.map_err(failed)?;
        Ok(ServerProcess { pid: get(&row, 0)?, started: get(&row, 1)? })
    }

    /// Returns when the process of another connection does nothing any more: it is ended, or waited for where it cannot be.
    pub(super) async fn end(&self, other: &ServerProcess) -> Result<(), BackendError> {
        for _ in 0..LOOKS {
            let row = self.client.query_one(sql::END, &[&other.pid, &other.started]).await.map_err(failed)?;
            if get(&row, 0)? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Err(unavailable("the last connection still works on a transaction"))
    }

    /// Which server this is, and the how-many-th connection of this process to it.
    pub(super) async fn incarnation(&self, count: u64) -> Result<Incarnation, BackendError> {
        let sql = "SELECT concat_ws('|', (pg_control_system()).system_identifier, (pg_control_checkpoint()).timeline_id, \
                   extract(epoch FROM pg_postmaster_start_time()), oid), pg_is_in_recovery(), current_setting('fsync') \
                   FROM pg_database WHERE datname = current_database()";
        let row = self.client.query_one(sql, &[]).await.map_err(failed)?;
        let server: String = row.try_get(0).map_err(failed)?;
        if row.try_get(1).map_err(failed)? {
            return Err(unavailable("the server is a standby"));
        }
        if row.try_get::<_, &str>(2).map_err(failed)? == "off" {
            tracing::warn!("the server runs with fsync off: a commit may not survive a crash of the machine");
        }
        let digest = blake3::derive_key("jit-store/1 postgres incarnation", format!("{server}|{count}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(digest.split_at(16).0);
        Ok(Incarnation::from_bytes(bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use jit_testkit::TestPostgres;

    use super::*;

    async fn setting(session: &Session, name: &str) -> String {
        session.client.query_one("SELECT current_setting($1)", &[&name]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn settings_do_not_depend_on_the_defaults() {
        let database = TestPostgres::shared().database().await;
        let admin = database.connect().await;
        for default in [
            "search_path = public",
            "synchronous_commit = off",
            "default_transaction_isolation = serializable",
            "default_transaction_read_only = on",
            "plan_cache_mode = force_custom_plan",
        ] {
            admin.batch_execute(&format!("ALTER DATABASE {} SET {default}", database.name())).await.unwrap();
        }
        let session = Connector::new(&PostgresConfig::new(database.config.clone())).session().await.unwrap();
        for (name, value) in [
            ("search_path", "pg_catalog, pg_temp"),
            ("synchronous_commit", "on"),
            ("transaction_isolation", "read committed"),
            ("transaction_read_only", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
        ] {
            assert_eq!(setting(&session, name).await, value, "{name}");
        }
        // What waits for more than the disk of this server stays.
        let stricter = format!("ALTER DATABASE {} SET synchronous_commit = remote_apply", database.name());
        admin.batch_execute(&stricter).await.unwrap();
        let session = Connector::new(&PostgresConfig::new(database.config.clone())).session().await.unwrap();
        assert_eq!(setting(&session, "synchronous_commit").await, "remote_apply");
    }

    #[tokio::test]
    async fn no_time_at_all_is_not_all_the_time() {
        let database = TestPostgres::shared().database().await;
        for (given, set) in
            [(Duration::ZERO, "1ms"), (Duration::from_micros(1), "1ms"), (Duration::MAX, "2147483647ms")]
        {
            let config = PostgresConfig::new(database.config.clone()).lock_timeout(given);
            let session = Connector::new(&config).session().await.unwrap();
            assert_eq!(setting(&session, "lock_timeout").await, set);
        }
        let endless = PostgresConfig::new(database.config.clone()).statement_timeout(Duration::MAX);
        let session = Connector::new(&endless).session().await.unwrap();
        assert_eq!(setting(&session, "idle_in_transaction_session_timeout").await, "2147483647ms");
    }

    #[tokio::test]
    async fn no_session_ends_its_own_process() {
        let server = TestPostgres::shared();
        let database = server.database().await;
        let connector = Connector::new(&PostgresConfig::new(database.config.clone()));
        let session = connector.session().await.unwrap();
        session.end(&session.process().await.unwrap()).await.unwrap();
        let other = connector.session().await.unwrap();
        session.end(&other.process().await.unwrap()).await.unwrap();
        assert!(other.process().await.is_err(), "another one's it ends");
        session.process().await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_shows_no_start_is_waited_for() {
        let server = TestPostgres::shared();
        let database = server.database().await;
        let role = database.name();
        let admin = database.connect().await;
        admin.batch_execute(&format!("CREATE ROLE \"{role}\"")).await.unwrap();
        let mut config = database.config.clone();
        config.options(format!("-c role={role}"));
        let connector = Connector::new(&PostgresConfig::new(config));
        let (session, other) = (connector.session().await.unwrap(), connector.session().await.unwrap());
        let process = other.process().await.unwrap();
        assert_eq!(process.started, None, "the test needs a role from which it is hidden");
        session.end(&process).await.unwrap_err();
        other.process().await.unwrap();
        drop(other);
        session.end(&process).await.unwrap();
        admin.batch_execute(&format!("DROP ROLE \"{role}\"")).await.unwrap();
    }
}
