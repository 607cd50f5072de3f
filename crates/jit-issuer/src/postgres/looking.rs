//! What a server has of a credential: a role, a prepared transaction, a session that is making one.

use jit_core::{CredentialId, ExternalId, Timestamp, Window};

use super::session::{Session, Trouble};
use crate::{
    CredentialReason, Cursor, Found, FoundPage,
    role_name::{RoleName, RolePrefix},
};

/// How many names one page of a listing has.
const PAGE: i64 = 1000;

/// A role or a prepared one, as far as the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The reason it carries, if it is still readable.
    pub(super) reason: Option<CredentialReason>,
    /// When its password stops working.
    pub(super) valid_until: Timestamp,
    /// Whether it has the attributes it was made with.
    pub(super) plain: bool,
    /// The roles it is a member of.
    pub(super) groups: Vec<String>,
}

/// What is there under the name of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// A role.
    Role(Seen),
    /// A role that is held ready.
    Prepared,
    /// Nothing, but a session is making it.
    UnderWay,
    /// Nothing.
    Nothing,
}

pub(super) async fn look(session: &Session, prefix: &RolePrefix, credential: CredentialId) -> Result<Sight, Trouble> {
    let (role, transaction) = (prefix.role(credential), prefix.transaction(credential));
    // The session that makes a role has its name. It is looked for first: what it has made by the time it is gone, is there.
    let making = under_way(session, role.as_str()).await?;
    if let Some(seen) = role_seen(session, &role).await? {
        return Ok(Sight::Role(seen));
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = $1)";
    if one(session, sql, &transaction).await?.unwrap_or_default() {
        return Ok(Sight::Prepared);
    }
    Ok(if making { Sight::UnderWay } else { Sight::Nothing })
}

/// Whether another session of the issuer has this name.
pub(super) async fn under_way(session: &Session, name: &str) -> Result<bool, Trouble> {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid() \
               AND usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user))";
    Ok(one(session, sql, name).await?.unwrap_or_default())
}

async fn role_seen(session: &Session, role: &RoleName) -> Result<Option<Seen>, Trouble> {
    let sql = "SELECT shobj_description(r.oid, 'pg_authid'), CASE WHEN isfinite(rolvaliduntil) \
               THEN (extract(epoch FROM rolvaliduntil) * 1000000)::bigint END, \
               rolcanlogin AND rolconnlimit > 0 AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication \
               OR rolbypassrls), ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid \
               WHERE m.member = r.oid) FROM pg_roles r WHERE rolname = $1";
    let rows = session.rows(sql, &[&role.as_str()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let get = |error: tokio_postgres::Error| Trouble::of(&error);
    let comment: Option<String> = row.try_get(0).map_err(get)?;
    let until: Option<i64> = row.try_get(1).map_err(get)?;
    Ok(Some(Seen {
        reason: comment.and_then(|text| text.parse().ok()),
        // None, or infinity, is for ever.
        valid_until: until.and_then(|micros| Timestamp::from_micros(micros).ok()).unwrap_or(Timestamp::MAX),
        plain: row.try_get(2).map_err(get)?,
        groups: row.try_get(3).map_err(get)?,
    }))
}

async fn one<T>(session: &Session, sql: &str, value: &str) -> Result<Option<T>, Trouble>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let rows = session.rows(sql, &[&value]).await?;
    rows.first().map(|row| row.try_get(0).map_err(|error| Trouble::of(&error))).transpose()
}

/// The names under the prefix, prepared ones included, of credentials made at or after `since`, from `after` on.
pub(super) async fn list(
    session: &Session,
    prefix: &RolePrefix,
    since: Timestamp,
    after: Option<&Cursor>,
) -> Result<FoundPage, Trouble> {
    let (roles, transactions) = prefix.patterns();
    let sql = "SELECT name FROM (SELECT rolname::text COLLATE \"C\" AS name FROM pg_roles WHERE rolname ~ $1 \
               UNION ALL SELECT gid COLLATE \"C\" FROM pg_prepared_xacts WHERE gid ~ $2 AND database = current_database()) n \
               WHERE name > $3 ORDER BY name LIMIT $4";
    let after = after.map_or("", |cursor| cursor.mark().as_str());
    let rows = session.rows(sql, &[&roles, &transactions, &after, &PAGE]).await?;
    let names: Vec<ExternalId> = rows
        .iter()
        .filter_map(|row| row.try_get::<_, String>(0).ok().and_then(|name| ExternalId::new(name).ok()))
        .collect();
    let full = i64::try_from(names.len()).is_ok_and(|found| found == PAGE);
    let next = names.last().filter(|_| full).cloned().map(Cursor::new);
    let found = names.into_iter().filter_map(|serial| {
        let credential = prefix.credential(serial.as_str());
        let old = credential.and_then(made_at).is_some_and(|millis| millis < since.unix_millis());
        (!old).then_some(Found { serial, credential })
    });
    Ok(FoundPage { found: found.collect(), next })
}

/// When a credential was named, in milliseconds since 1970, if its id tells.
fn made_at(credential: CredentialId) -> Option<u64> {
    let (seconds, nanos) = credential.as_uuid().get_timestamp()?.to_unix();
    seconds.checked_mul(1000)?.checked_add(u64::from(nanos) / 1_000_000)
}

/// The window that a role works in: as intended, unless its end says otherwise.
pub(super) fn window_of(seen: &Seen, intended: Window) -> Window {
    Window::new(intended.start(), seen.valid_until).unwrap_or(intended)
}
