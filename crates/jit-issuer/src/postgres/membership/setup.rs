//! What must be true of a server before memberships are given on it.

use jit_core::Code;

use crate::postgres::{
    GroupRoles, PostgresIssuerError, PostgresTarget, RoleName,
    session::{Session, Trouble},
    setup::{OLDEST, harmless},
};

/// Memberships cannot be given on a server as it is set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresMembershipError {
    /// The server, or a group on it, will not do.
    #[error(transparent)]
    Server(#[from] PostgresIssuerError),
    /// Two scopes give membership in one group: the end of one would be the end of the other.
    #[error("two scopes give membership in role {}", .0.as_str())]
    SharedGroup(RoleName),
    /// The issuer's own role may not give and take membership in a group.
    #[error("the issuer's role may not give membership in role {}", .0.as_str())]
    CannotGive(RoleName),
    /// The table of marks is not there, or the issuer's role may not use it.
    #[error("the table jit.membership cannot be used: {cause}")]
    Marks {
        /// Why.
        cause: Code,
    },
    /// Everybody may write to the table of marks, so a mark says nothing.
    #[error("everybody may write to the table jit.membership")]
    MarksOfEverybody,
}

impl From<Trouble> for PostgresMembershipError {
    fn from(trouble: Trouble) -> Self {
        Self::Server(trouble.into())
    }
}

/// What was found out about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) version: i32,
    /// The issuer's own role.
    pub(super) own: String,
    /// Whether it may end the sessions of others.
    pub(super) ends_sessions: bool,
}

/// Finds out whether membership in the groups can be given and taken. Leaves nothing behind.
pub(super) async fn examine(target: &PostgresTarget, groups: &GroupRoles) -> Result<Found, PostgresMembershipError> {
    let session = target.session(super::LOOKER).await?;
    let sql = "SELECT current_setting('server_version_num')::int, session_user::text, pg_has_role('pg_signal_backend', 'USAGE'), \
               rolsuper, rolcreaterole FROM pg_roles WHERE rolname = session_user";
    let rows = session.rows(sql, &[]).await?;
    let row = rows.first().ok_or(Trouble::Absent)?;
    let get = |error: tokio_postgres::Error| PostgresMembershipError::from(Trouble::of(&error));
    let version: i32 = row.try_get(0).map_err(get)?;
    if version < OLDEST {
        return Err(PostgresIssuerError::Version(version).into());
    }
    let found = Found { version, own: row.try_get(1).map_err(get)?, ends_sessions: row.try_get(2).map_err(get)? };
    // Up to 15, who may make roles may give membership in any.
    let gives_any = row.try_get(3).map_err(get)? || (version < 160_000 && row.try_get(4).map_err(get)?);
    let mut seen: Vec<&RoleName> = Vec::new();
    for group in groups.roles() {
        if seen.contains(&group) {
            return Err(PostgresMembershipError::SharedGroup(group.clone()));
        }
        seen.push(group);
        harmless(&session, group).await?;
        let sql = "SELECT pg_has_role($1::text, 'MEMBER WITH ADMIN OPTION')";
        if !gives_any && !holds(&session, sql, &[&group.as_str()]).await? {
            return Err(PostgresMembershipError::CannotGive(group.clone()));
        }
    }
    if seen.is_empty() {
        return Err(PostgresIssuerError::NoGroup.into());
    }
    marks(&session).await?;
    Ok(found)
}

/// Leaves a mark and takes it away, in a transaction that is rolled back.
async fn marks(session: &Session) -> Result<(), PostgresMembershipError> {
    let sql = "BEGIN; INSERT INTO jit.membership VALUES ('00000000-0000-8000-8000-000000000000', 'r', 'r', 'granted', 'r'); \
               DELETE FROM jit.membership WHERE group_role = 'r' AND member_role = 'r'; ROLLBACK";
    if let Err(trouble) = session.run(sql).await {
        session.run("ROLLBACK").await?;
        return Err(PostgresMembershipError::Marks { cause: trouble.code() });
    }
    let sql = "SELECT bool_or(has_table_privilege('public', 'jit.membership', p)) FROM unnest($1::text[]) p";
    let rights: &[&str] = &["INSERT", "UPDATE", "DELETE", "TRUNCATE"];
    if holds(session, sql, &[&rights]).await? {
        return Err(PostgresMembershipError::MarksOfEverybody);
    }
    Ok(())
}

async fn holds(
    session: &Session,
    sql: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<bool, Trouble> {
    let rows = session.rows(sql, values).await?;
    rows.first().map_or(Ok(false), |row| row.try_get(0)).map_err(|error| Trouble::of(&error))
}
