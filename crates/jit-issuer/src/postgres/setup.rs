//! What must be true of a server before an issuer is used on it, found out by a rehearsal.

use jit_core::Code;

use super::{
    role::GroupRoles,
    session::{PostgresTarget, Session, Trouble},
};
use crate::role_name::{RoleName, RolePrefix};

/// `pg_terminate_backend` waits for what it has ended since 14.
pub(super) const OLDEST: i32 = 140_000;

/// An issuer cannot work on a server as it is set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresIssuerError {
    /// It cannot be asked.
    #[error("the server does not answer: {cause}")]
    Unavailable {
        /// Why.
        cause: Code,
    },
    /// It is too old.
    #[error("the server has version {0}, and must have 14 or later")]
    Version(i32),
    /// No role is given for any scope.
    #[error("no scope gives membership in a role")]
    NoGroup,
    /// A role that grants are to become members of does not exist, or allows what a membership must not give.
    #[error("role {} does not exist, or may log in, create roles or databases, replicate, or is a superuser", .0.as_str())]
    Group(RoleName),
    /// The issuer's own role may not end the sessions of others.
    #[error("the issuer's role is not a member of pg_signal_backend, nor a superuser")]
    CannotEndSessions,
    /// A role that was made for trial, and never committed, could not be made, bound, disabled or dropped.
    #[error("the rehearsal with membership in {} failed: {cause}", .role.as_str())]
    Rehearsal {
        /// The role it was a member of.
        role: RoleName,
        /// Why.
        cause: Code,
    },
}

impl From<Trouble> for PostgresIssuerError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable { cause: trouble.code() }
    }
}

/// What was found out about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether it has prepared transactions.
    pub(super) prepares: bool,
}

/// Finds out whether roles can be made on this server, and taken back. Leaves nothing behind.
pub(super) async fn examine(
    target: &PostgresTarget,
    prefix: &RolePrefix,
    groups: &GroupRoles,
) -> Result<Found, PostgresIssuerError> {
    let trial = prefix.role(jit_core::CredentialId::v8([0; 16]));
    let session = target.session(trial.as_str()).await?;
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('max_prepared_transactions')::int > 0, \
               pg_has_role('pg_signal_backend', 'USAGE')";
    let rows = session.rows(sql, &[]).await?;
    let row = rows.first().ok_or(Trouble::Absent)?;
    let get = |error: tokio_postgres::Error| PostgresIssuerError::from(Trouble::of(&error));
    let version: i32 = row.try_get(0).map_err(get)?;
    if version < OLDEST {
        return Err(PostgresIssuerError::Version(version));
    }
    if !row.try_get::<_, bool>(2).map_err(get)? {
        return Err(PostgresIssuerError::CannotEndSessions);
    }
    if groups.roles().next().is_none() {
        return Err(PostgresIssuerError::NoGroup);
    }
    for group in groups.roles() {
        harmless(&session, group).await?;
        rehearse(&session, &trial, group)
            .await
            .map_err(|trouble| PostgresIssuerError::Rehearsal { role: group.clone(), cause: trouble.code() })?;
    }
    Ok(Found { prepares: row.try_get(1).map_err(get)? })
}

/// Attributes are not inherited, but `SET ROLE` gives them.
pub(super) async fn harmless(session: &Session, group: &RoleName) -> Result<(), PostgresIssuerError> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1 AND NOT (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb \
               OR rolreplication OR rolbypassrls)";
    let found = session.rows(sql, &[&group.as_str()]).await?;
    if found.is_empty() { Err(PostgresIssuerError::Group(group.clone())) } else { Ok(()) }
}

/// Makes a role, disables it and drops it, in a transaction that is rolled back.
async fn rehearse(session: &Session, trial: &RoleName, group: &RoleName) -> Result<(), Trouble> {
    let (trial, group) = (trial.as_str(), group.as_str());
    let sql = format!(
        "BEGIN; CREATE ROLE \"{trial}\" LOGIN IN ROLE \"{group}\"; COMMENT ON ROLE \"{trial}\" IS 'rehearsal'; \
         ALTER ROLE \"{trial}\" NOLOGIN; DROP ROLE \"{trial}\"; ROLLBACK"
    );
    let rehearsed = session.run(&sql).await;
    if rehearsed.is_err() {
        session.run("ROLLBACK").await?;
    }
    rehearsed
}
