//! Ending a role: no more logins, sessions cut, dropped, and looked for afterwards.

use jit_core::{Code, code};

use super::{
    creating,
    session::{Session, Trouble},
};
use crate::{RevokeOutcome, role_name::RoleName};

/// How often sessions are cut before those that are left count as left: one that was logging in may appear late.
const ROUNDS: usize = 5;
/// How long to wait for each session to end, in milliseconds.
const TERMINATE_MS: i64 = 2000;

/// Ends a role whatever state it is in, and says what was seen afterwards.
pub(super) async fn end(session: &Session, role: &RoleName, transaction: &str) -> Result<RevokeOutcome, Trouble> {
    let given_up = match creating::abandon(session, transaction).await {
        Ok(()) => true,
        Err(Trouble::Absent) => false,
        Err(trouble) => return Err(trouble),
    };
    let Some(oid) = oid(session, role).await? else {
        // Somebody dropped it, and its sessions have no name any more.
        let left = cut_sessions(session, NOBODYS, &[]).await?;
        return Ok(match (left, given_up) {
            (Left::None, false) => RevokeOutcome::AlreadyGone,
            (Left::None, true) => RevokeOutcome::Revoked { finding: code!("prepared_role_rolled_back") },
            (Left::Cut, _) => RevokeOutcome::Revoked { finding: code!("sessions_of_a_dropped_role_cut") },
            (Left::Some(sessions_left), _) => RevokeOutcome::Partial { sessions_left },
        });
    };
    match session.run(&format!("ALTER ROLE \"{}\" NOLOGIN", role.as_str())).await {
        // Somebody else dropped it meanwhile; its sessions are still to be cut.
        Ok(()) | Err(Trouble::Absent) => {}
        Err(trouble) => return Err(trouble),
    }
    // The role stays as long as a session does: the next attempt finds the session by it.
    if let Left::Some(sessions_left) = cut_sessions(session, OF_ROLE, &[&oid]).await? {
        return Ok(RevokeOutcome::Partial { sessions_left });
    }
    let finding = drop_role(session, role, oid).await?;
    // Whoever was let in before the role could log in no more, and was not in the list yet.
    Ok(match cut_sessions(session, OF_ROLE, &[&oid]).await? {
        Left::Some(sessions_left) => RevokeOutcome::Partial { sessions_left },
        Left::None | Left::Cut => RevokeOutcome::Revoked { finding },
    })
}

/// Sessions of the role of a number: a dropped role has no name.
const OF_ROLE: &str = "usesysid = $1";
/// Sessions of roles that are not there any more.
const NOBODYS: &str = "usesysid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = usesysid)";

/// What is left of sessions after they were cut.
pub(super) enum Left {
    None,
    Cut,
    Some(u32),
}

async fn oid(session: &Session, role: &RoleName) -> Result<Option<u32>, Trouble> {
    let rows = session.rows("SELECT oid FROM pg_roles WHERE rolname = $1", &[&role.as_str()]).await?;
    rows.first().map(|row| row.try_get(0).map_err(|error| Trouble::of(&error))).transpose()
}

/// Cuts sessions, and counts those that are left.
pub(super) async fn cut_sessions(
    session: &Session,
    whose: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Left, Trouble> {
    let cut = format!("SELECT pg_terminate_backend(pid, {TERMINATE_MS}::bigint) FROM pg_stat_activity WHERE {whose}");
    for round in 0..ROUNDS {
        if session.rows(&cut, values).await?.is_empty() {
            return Ok(if round == 0 { Left::None } else { Left::Cut });
        }
    }
    let rows = session.rows(&format!("SELECT count(*) FROM pg_stat_activity WHERE {whose}"), values).await?;
    let left: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(|error| Trouble::of(&error))?;
    Ok(match u32::try_from(left).unwrap_or(u32::MAX) {
        0 => Left::Cut,
        left => Left::Some(left),
    })
}

/// Drops a role that cannot log in any more, and says what became of it.
async fn drop_role(session: &Session, role: &RoleName, oid: u32) -> Result<Code, Trouble> {
    let drop = format!("DROP ROLE \"{}\"", role.as_str());
    match session.run(&drop).await {
        Ok(()) | Err(Trouble::Absent) => return Ok(code!("role_dropped")),
        Err(Trouble::Depended) => {}
        Err(trouble) => return Err(trouble),
    }
    // What the holder made stays, and belongs to the role of the group from now on.
    let groups =
        "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = $1 ORDER BY 1";
    let rows = session.rows(groups, &[&oid]).await?;
    let group = rows.first().and_then(|row| row.try_get::<_, String>(0).ok()).and_then(|name| RoleName::new(name).ok());
    if let Some(group) = group {
        let (role, group) = (role.as_str(), group.as_str());
        let hand_over = format!(
            "BEGIN; GRANT \"{role}\" TO CURRENT_USER; REASSIGN OWNED BY \"{role}\" TO \"{group}\"; \
             DROP OWNED BY \"{role}\"; {drop}; COMMIT"
        );
        if session.run(&hand_over).await.is_ok() {
            return Ok(code!("role_dropped_objects_kept"));
        }
        session.run("ROLLBACK").await?;
        session.run(&format!("REVOKE \"{group}\" FROM \"{role}\"")).await?;
    }
    // It opens nothing: it cannot log in, is a member of nothing, and nobody is logged in. A listing shows it.
    Ok(code!("role_disabled_owns_objects"))
}
