//! Making a role: all of it in one transaction, prepared where the server can.

use jit_core::Window;
use postgres_protocol::password::scram_sha_256;

use super::session::{Session, Trouble};
use crate::{CredentialReason, role_name::RoleName};

/// A role about to be made.
pub(super) struct NewRole<'a> {
    pub(super) role: &'a RoleName,
    pub(super) group: &'a RoleName,
    pub(super) reason: CredentialReason,
    pub(super) window: Window,
    pub(super) connections: u16,
    pub(super) password: &'a str,
}

impl NewRole<'_> {
    /// The statements that make it. The server is given what it keeps of a password, never the password, so that no log of its
    /// own has it. Nothing needs quoting but identifiers: names are checked, a reason and a verifier have neither quote nor backslash.
    fn sql(&self) -> String {
        let (role, group) = (self.role.as_str(), self.group.as_str());
        let Self { reason, connections, .. } = self;
        let (verifier, end) = (scram_sha_256(self.password.as_bytes()), self.window.end());
        format!(
            "CREATE ROLE \"{role}\" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT \
             CONNECTION LIMIT {connections} PASSWORD '{verifier}' VALID UNTIL '{end}' IN ROLE \"{group}\"; \
             COMMENT ON ROLE \"{role}\" IS '{reason}'"
        )
    }

    /// Makes the role.
    pub(super) async fn create(&self, session: &Session) -> Result<(), Trouble> {
        session.run(&format!("BEGIN; {}; COMMIT", self.sql())).await
    }

    /// Has the server hold the role ready: nobody sees it before it is committed, and a crash does not lose it.
    pub(super) async fn prepare(&self, session: &Session, transaction: &str) -> Result<(), Trouble> {
        session.run(&format!("BEGIN; {}; PREPARE TRANSACTION '{transaction}'", self.sql())).await
    }
}

/// Makes a prepared role exist.
pub(super) async fn commit(session: &Session, transaction: &str) -> Result<(), Trouble> {
    session.run(&format!("COMMIT PREPARED '{transaction}'")).await
}

/// Gives a prepared role up. [`Trouble::Absent`] if none is prepared.
pub(super) async fn abandon(session: &Session, transaction: &str) -> Result<(), Trouble> {
    session.run(&format!("ROLLBACK PREPARED '{transaction}'")).await
}
