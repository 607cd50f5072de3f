//! All members of the managed groups, by name.

use jit_core::{ExternalId, code};

use crate::{
    Cursor, Found, FoundPage,
    membership::{MembershipName, Origin},
    postgres::session::{Session, Trouble},
};

/// How many names one page has.
const PAGE: i64 = 1000;

/// The members of the groups but those who may stand in them, from `after` on. What grants have is listed under the latest of them.
pub(super) async fn list(
    session: &Session,
    groups: &[&str],
    standing: &[&str],
    after: Option<&Cursor>,
) -> Result<FoundPage, Trouble> {
    let sql = "SELECT group_role, member_role, latest, granted FROM (\
               SELECT DISTINCT g.rolname::text COLLATE \"C\" AS group_role, r.rolname::text COLLATE \"C\" AS member_role, \
               k.latest, k.granted FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member \
               LEFT JOIN LATERAL (SELECT max(credential::text) AS latest, bool_or(origin = 'granted') AS granted \
               FROM jit.membership WHERE group_role = g.rolname AND member_role = r.rolname) k ON true \
               WHERE g.rolname = ANY($1::text[]) AND r.rolname <> ALL($2::text[])) n \
               WHERE (group_role, member_role) > ($3, $4) ORDER BY group_role, member_role LIMIT $5";
    let mark = after.and_then(|cursor| MembershipName::parse(cursor.mark()));
    let (after_group, after_member) =
        mark.as_ref().map_or(("", ""), |name| (name.group.as_str(), name.member.as_str()));
    let rows = session.rows(sql, &[&groups, &standing, &after_group, &after_member, &PAGE]).await?;
    let get = |error: tokio_postgres::Error| Trouble::of(&error);
    let mut found = Vec::with_capacity(rows.len());
    let mut next = None;
    for row in &rows {
        let (group, member): (String, String) = (row.try_get(0).map_err(get)?, row.try_get(1).map_err(get)?);
        let latest: Option<&str> = row.try_get(2).map_err(get)?;
        let origin = match row.try_get(3).map_err(get)? {
            Some(false) => Origin::AlreadyMember,
            Some(true) | None => Origin::Granted,
        };
        // Passing over a name that no record can have would hide its bearer.
        let serial = MembershipName::new(origin, group, member).serial();
        let serial: ExternalId = serial.ok_or(Trouble::Refused(code!("member_name_not_printable")))?;
        next = Some(Cursor::new(serial.clone()));
        found.push(Found { serial, credential: latest.and_then(|id| id.parse().ok()) });
    }
    let full = i64::try_from(found.len()).is_ok_and(|found| found == PAGE);
    Ok(FoundPage { found, next: next.filter(|_| full) })
}
