//! One group and one member on a server: what stands between them, and how it is changed, all of it in one transaction.

use jit_core::{Code, CredentialId, code};

use crate::{
    CredentialReason,
    membership::{Joining, Leaving, Mark, Origin, Standing},
    postgres::{
        ending::{Left, cut_sessions},
        session::{Session, Trouble},
    },
};

/// The table of marks, as whoever owns the database makes it once. The issuer's role needs `USAGE` on the schema and `SELECT`,
/// `INSERT` and `DELETE` on the table; nobody else may write to it.
pub const MARKS_TABLE: &str = "\
CREATE SCHEMA jit;
CREATE TABLE jit.membership (
    credential uuid PRIMARY KEY,
    group_role text NOT NULL,
    member_role text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('granted', 'already_member')),
    reason text NOT NULL
);
CREATE INDEX membership_of ON jit.membership (group_role, member_role);
";

/// From this version on a membership says whether it inherits, and whether it may be become.
const WITH_OPTIONS: i32 = 160_000;

/// A group and a member, each by its name.
pub(super) struct Place<'a> {
    pub(super) group: &'a str,
    pub(super) member: &'a str,
}

/// What the server shows of a membership.
pub(super) struct Sight {
    pub(super) standing: Standing,
    /// Whether the member may give membership to others, which no grant of ours lets it.
    pub(super) may_give: bool,
    /// Whether the member has what the group has, by itself or through another role.
    pub(super) has_rights: bool,
}

impl Place<'_> {
    /// Looks without a lock.
    pub(super) async fn look(&self, session: &Session) -> Result<Sight, Trouble> {
        let sql = "SELECT count(m.member) > 0, coalesce(bool_or(m.admin_option), false), pg_has_role(r.oid, g.oid, 'MEMBER') \
                   FROM pg_roles g CROSS JOIN pg_roles r LEFT JOIN pg_auth_members m ON m.roleid = g.oid AND m.member = r.oid \
                   WHERE g.rolname = $1 AND r.rolname = $2 GROUP BY g.oid, r.oid";
        let rows = session.rows(sql, &[&self.group, &self.member]).await?;
        let get = |error: tokio_postgres::Error| Trouble::of(&error);
        let (member, may_give, has_rights) = match rows.first() {
            // One of the two roles is not there.
            None => (false, false, false),
            Some(row) => (row.try_get(0).map_err(get)?, row.try_get(1).map_err(get)?, row.try_get(2).map_err(get)?),
        };
        let sql = "SELECT credential::text, origin, reason FROM jit.membership WHERE group_role = $1 AND member_role = $2 \
                   ORDER BY credential";
        let rows = session.rows(sql, &[&self.group, &self.member]).await?;
        let mut marks = Vec::with_capacity(rows.len());
        for row in &rows {
            let (credential, origin): (&str, &str) = (row.try_get(0).map_err(get)?, row.try_get(1).map_err(get)?);
            let unreadable = || Trouble::Refused(code!("mark_unreadable"));
            marks.push(Mark {
                credential: credential.parse().map_err(|_| unreadable())?,
                origin: Origin::parse(origin).ok_or_else(unreadable)?,
                reason: row.try_get::<_, &str>(2).map_err(get)?.parse().ok(),
            });
        }
        Ok(Sight { standing: Standing { member, marks }, may_give, has_rights })
    }

    /// Begins a transaction that nobody else's of this place runs beside. Dropping the session rolls it back.
    pub(super) async fn lock(&self, session: &Session) -> Result<(), Trouble> {
        session.run("BEGIN").await?;
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 0))";
        session.rows(sql, &[&self.group, &self.member]).await.map(drop)
    }

    /// Whether the member is one that a membership can be given to, or the code of why not.
    pub(super) async fn suits(&self, session: &Session) -> Result<Result<(), Code>, Trouble> {
        let sql = "SELECT rolcanlogin, rolsuper, rolname = session_user FROM pg_roles WHERE rolname = $1";
        let rows = session.rows(sql, &[&self.member]).await?;
        let Some(row) = rows.first() else { return Ok(Err(code!("no_such_member"))) };
        let is = |n: usize| row.try_get::<_, bool>(n).map_err(|error| Trouble::of(&error));
        let refusals = [
            (!is(0)?, code!("member_cannot_log_in")),
            // Nothing is kept from it, so nothing could be taken away.
            (is(1)?, code!("member_is_superuser")),
            (is(2)?, code!("member_is_the_issuer")),
        ];
        Ok(refusals.into_iter().find(|(refused, _)| *refused).map_or(Ok(()), |(_, cause)| Err(cause)))
    }

    /// Does what a mint has to do in a transaction that [`lock`](Self::lock) began, and says whose the membership is.
    pub(super) async fn join(
        &self,
        session: &Session,
        version: i32,
        credential: CredentialId,
        reason: CredentialReason,
    ) -> Result<Origin, Trouble> {
        let joining = self.look(session).await?.standing.joining(credential);
        let (group, member) = (quoted(self.group), quoted(self.member));
        let options = if version >= WITH_OPTIONS { " WITH ADMIN FALSE, INHERIT TRUE, SET FALSE" } else { "" };
        let (origin, before) = match joining {
            Joining::Done(origin) => {
                session.run("ROLLBACK").await?;
                return Ok(origin);
            }
            Joining::Mark(origin) => (origin, String::new()),
            Joining::Add => (Origin::Granted, format!("{}; GRANT {group} TO {member}{options}; ", self.unmarking())),
        };
        let sql = format!(
            "{before}INSERT INTO jit.membership VALUES ('{credential}', {}, {}, '{}', '{reason}')",
            literal(self.group),
            literal(self.member),
            origin.as_str()
        );
        session.run(&sql).await?;
        session.run("COMMIT").await?;
        Ok(origin)
    }

    /// Does what taking back has to do in a transaction that [`lock`](Self::lock) began.
    pub(super) async fn leave(&self, session: &Session, leaving: Leaving) -> Result<(), Trouble> {
        let (group, member) = (quoted(self.group), quoted(self.member));
        match leaving {
            Leaving::Nothing => return session.run("ROLLBACK").await,
            Leaving::Unmark => session.run(&self.unmarking()).await?,
            Leaving::Remove => session.run(&format!("REVOKE {group} FROM {member}; {}", self.unmarking())).await?,
        }
        session.run("COMMIT").await
    }

    fn unmarking(&self) -> String {
        let (group, member) = (literal(self.group), literal(self.member));
        format!("DELETE FROM jit.membership WHERE group_role = {group} AND member_role = {member}")
    }

    /// Cuts the sessions that the member has opened so far.
    pub(super) async fn cut(&self, session: &Session) -> Result<Left, Trouble> {
        let rows = session.rows("SELECT clock_timestamp()::text", &[]).await?;
        let now: String = rows.first().map_or(Ok(String::new()), |row| row.try_get(0)).map_err(|e| Trouble::of(&e))?;
        let whose =
            "usesysid = (SELECT oid FROM pg_roles WHERE rolname = $1) AND backend_start < $2::text::timestamptz";
        cut_sessions(session, whose, &[&self.member, &now]).await
    }
}

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal; sessions have `standard_conforming_strings` on.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"; DROP ROLE b; --"), "\"a\"\"; DROP ROLE b; --\"");
        assert_eq!(literal("a'; DROP ROLE b; --\\"), "'a''; DROP ROLE b; --\\'");
    }
}
