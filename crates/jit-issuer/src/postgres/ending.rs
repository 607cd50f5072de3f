//! Ending a role: no more logins, sessions cut, dropped, and looked for afterwards.

use jit_core::{Code, code};

use super::{
    creating,
    role::RoleName,
    session::{Session, Trouble},
};
use crate::RevokeOutcome;

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
        let finding = code!("prepared_role_rolled_back");
        return Ok(if given_up { RevokeOutcome::Revoked { finding } } else { RevokeOutcome::AlreadyGone });
    };
    match session.run(&format!("ALTER ROLE \"{}\" NOLOGIN", role.as_str())).await {
        // Somebody else dropped it meanwhile; its sessions are still to be cut.
        Ok(()) | Err(Trouble::Absent) => {}
        Err(trouble) => return Err(trouble),
    }
    let mut left = cut_sessions(session, oid).await?;
    let finding = drop_role(session, role, oid).await?;
    if left == 0 {
        // Whoever was let in before the role could log in no more, and was not in the list yet.
        left = cut_sessions(session, oid).await?;
    }
    Ok(if left == 0 { RevokeOutcome::Revoked { finding } } else { RevokeOutcome::Partial { sessions_left: left } })
}

async fn oid(session: &Session, role: &RoleName) -> Result<Option<u32>, Trouble> {
    let rows = session.rows("SELECT oid FROM pg_roles WHERE rolname = $1", &[&role.as_str()]).await?;
    rows.first().map(|row| row.try_get(0).map_err(|error| Trouble::of(&error))).transpose()
}

/// Cuts the sessions of a role, and counts those that are left. By number: a dropped role has no name.
async fn cut_sessions(session: &Session, oid: u32) -> Result<u32, Trouble> {
    let cut = "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usesysid = $1";
    for _ in 0..ROUNDS {
        if session.rows(cut, &[&oid, &TERMINATE_MS]).await?.is_empty() {
            return Ok(0);
        }
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1";
    let rows = session.rows(count, &[&oid]).await?;
    let left: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(|error| Trouble::of(&error))?;
    Ok(u32::try_from(left).unwrap_or(u32::MAX))
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
    }
    // It opens nothing: it cannot log in and nobody is. That it is still there, a listing says.
    Ok(code!("role_disabled_owns_objects"))
}
