//! The key that turns names into ids and look-up digests: held outside the database, so that its rows alone betray nothing.

use std::fmt;

use crate::{
    event::AccessObserved,
    ids::{CaseId, CommandId, CredentialId, EntitlementId, WriterId},
    principal::PrincipalId,
    record::StreamId,
    scope::Scope,
    text::IdempotencyKey,
};

/// 32 secret bytes, one set a deployment.
#[derive(Clone)]
pub struct IndexKey([u8; 32]);

impl IndexKey {
    /// Wraps 32 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id of a command: the same principal and idempotency key give the same id.
    #[must_use]
    pub fn command(&self, by: &PrincipalId, key: &IdempotencyKey) -> CommandId {
        CommandId::v8(self.id(b"command", &[by.to_string().as_bytes(), key.as_str().as_bytes()]))
    }

    /// The id of a command on a case: there the key belongs to principal and case.
    #[must_use]
    pub fn command_in(&self, case: CaseId, by: &PrincipalId, key: &IdempotencyKey) -> CommandId {
        let by = by.to_string();
        CommandId::v8(self.id(b"command in case", &[case.as_bytes(), by.as_bytes(), key.as_str().as_bytes()]))
    }

    /// The id under which a use of a credential is recorded: a line of a system's log that is read twice gives the same id.
    #[must_use]
    pub fn observed_use(&self, credential: CredentialId, used: &AccessObserved) -> CommandId {
        let system = used.system.as_str().as_bytes();
        let id = match &used.line {
            Some(line) => self.id(b"use by line", &[credential.as_bytes(), system, line.as_bytes()]),
            None => {
                let (at, act) = (used.occurred_at.to_string(), used.act.as_str().as_bytes());
                let detail = used.detail.as_ref().map_or("", |detail| detail.as_str()).as_bytes();
                self.id(b"use", &[credential.as_bytes(), system, at.as_bytes(), act, detail])
            }
        };
        CommandId::v8(id)
    }

    /// The case that a submitting command opens, so that record 0 of its stream is the lock against submitting twice.
    #[must_use]
    pub fn case(&self, command: CommandId) -> CaseId {
        CaseId::v8(self.id(b"case", &[command.as_bytes()]))
    }

    /// The ledger of one subject, resource and action set.
    #[must_use]
    pub fn entitlement(&self, subject: &PrincipalId, scope: &Scope) -> EntitlementId {
        EntitlementId::v8(self.id(b"entitlement", &[subject.to_string().as_bytes(), scope.to_string().as_bytes()]))
    }

    /// The stream of an act under its idempotency key that is not of one case, so that its record 0 is the lock against acting
    /// twice.
    #[must_use]
    pub fn act_stream(&self, command: CommandId) -> StreamId {
        StreamId::Ops(WriterId::v8(self.id(b"act", &[command.as_bytes()])))
    }

    /// The stream that says whether an identity is barred. Whoever gives access guards it.
    #[must_use]
    pub fn standing_stream(&self, identity: &PrincipalId) -> StreamId {
        StreamId::Ops(WriterId::v8(self.id(b"standing", &[identity.to_string().as_bytes()])))
    }

    /// The keyed digest under which a value of `family` is found again.
    #[must_use]
    pub fn lookup(&self, family: &str, value: &[u8]) -> [u8; 32] {
        self.digest(b"lookup", &[family.as_bytes(), value])
    }

    fn id(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(self.digest(purpose, parts)) {
            *to = from;
        }
        id
    }

    fn digest(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in std::iter::once(&purpose).chain(parts) {
            // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(..)")
    }
}
