//! What issuers of memberships share: the name of a membership in records, and what is to be done about one.
//!
//! A membership is one state of a target for all grants of the same access. Each grant that has it leaves a mark at the target that
//! names its credential: by these marks a membership is told from one that somebody else made, before a grant or beside it.

use jit_core::{
    Code, Condition, CredentialDescriptor, CredentialId, Enforcement, ExternalDigest, ExternalId, IssuerCapabilities,
    IssuerName, LeafHash, PrincipalId, Window, code,
};
use sha2::{Digest as _, Sha256};

use crate::{CredentialReason, RevokeError};

/// What becomes of a membership in a managed group that no record explains and that bears no mark of ours: somebody gave it by hand.
///
/// One that bears our mark and that no record explains any more is always removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strays {
    /// It is recorded as found, and stays. The default.
    #[default]
    Report,
    /// It is recorded as found, and removed.
    Remove,
}

/// Who made a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A grant did, so it goes with the last of them.
    Granted,
    /// It stood before the first grant, so no grant gives it and no end takes it.
    AlreadyMember,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::AlreadyMember => "already_member",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Granted, Self::AlreadyMember].into_iter().find(|origin| origin.as_str() == text)
    }
}

/// A membership as records and listings name it: `<group>/<member>`, and `already_member:<group>/<member>` while it stands for grants
/// that found it there. A group's name has neither `/` nor `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MembershipName {
    pub(crate) origin: Origin,
    pub(crate) group: String,
    pub(crate) member: String,
}

impl MembershipName {
    pub(crate) fn new(origin: Origin, group: impl Into<String>, member: impl Into<String>) -> Self {
        Self { origin, group: group.into(), member: member.into() }
    }

    /// The name in records; `None` if it is too long for one, or cannot be printed.
    pub(crate) fn serial(&self) -> Option<ExternalId> {
        let mark = match self.origin {
            Origin::Granted => "",
            Origin::AlreadyMember => "already_member:",
        };
        ExternalId::new(format!("{mark}{}/{}", self.group, self.member)).ok()
    }

    pub(crate) fn parse(serial: &ExternalId) -> Option<Self> {
        let (origin, rest) = match serial.as_str().strip_prefix("already_member:") {
            Some(rest) => (Origin::AlreadyMember, rest),
            None => (Origin::Granted, serial.as_str()),
        };
        let (group, member) = rest.split_once('/')?;
        Some(Self::new(origin, group, member))
    }
}

/// The mark of one grant at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) credential: CredentialId,
    pub(crate) origin: Origin,
    /// The reason it carries, if it is still readable.
    pub(crate) reason: Option<CredentialReason>,
}

/// A membership as its target shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) member: bool,
    pub(crate) marks: Vec<Mark>,
}

/// What minting has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Nothing: it was done before.
    Done(Origin),
    /// To leave a mark on what is there.
    Mark(Origin),
    /// To make a member, and leave the only mark: what other marks stand for, somebody took away.
    Add,
}

/// What taking back has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Nothing is there.
    Nothing,
    /// To remove marks alone.
    Unmark,
    /// To remove the member and the marks.
    Remove,
}

impl Standing {
    /// Who made the membership: one of the grants that have it, or none of them.
    pub(crate) fn origin(&self) -> Origin {
        let granted = self.marks.iter().any(|mark| mark.origin == Origin::Granted);
        if granted { Origin::Granted } else { Origin::AlreadyMember }
    }

    pub(crate) fn mark(&self, credential: CredentialId) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.credential == credential).filter(|_| self.member)
    }

    pub(crate) fn joining(&self, credential: CredentialId) -> Joining {
        match self.mark(credential) {
            Some(_) => Joining::Done(self.origin()),
            None if self.member => Joining::Mark(self.origin()),
            None => Joining::Add,
        }
    }

    /// By what the record of the mint says, which nobody can alter at the target.
    pub(crate) fn leaving(&self, recorded: Origin) -> Leaving {
        match (recorded, self.member, self.marks.is_empty()) {
            (Origin::Granted, true, _) => Leaving::Remove,
            (_, _, false) => Leaving::Unmark,
            (_, _, true) => Leaving::Nothing,
        }
    }

    /// What ending an orphan of this origin has to do. What has another origin by now is not what was found.
    pub(crate) fn clearing(&self, found: Origin, strays: Strays) -> Result<Leaving, RevokeError> {
        let now = if self.marks.is_empty() { Origin::Granted } else { self.origin() };
        if !self.member || now != found {
            return Ok(Leaving::Nothing);
        }
        match found {
            Origin::AlreadyMember => Ok(Leaving::Unmark),
            Origin::Granted if self.marks.is_empty() && strays == Strays::Report => {
                Err(RevokeError::Refused { cause: code!("only_reported") })
            }
            Origin::Granted => Ok(Leaving::Remove),
        }
    }
}

/// What the issuer of a membership says of one.
pub(crate) fn descriptor(
    issuer: &IssuerName,
    capabilities: IssuerCapabilities,
    name: &MembershipName,
    (credential, evidence): (CredentialId, LeafHash),
    subject: &PrincipalId,
    window: Window,
) -> Option<CredentialDescriptor> {
    let serial = name.serial()?;
    let fingerprint = ExternalDigest::from_bytes(Sha256::digest(format!("{serial} {evidence}")).into());
    let (issuer, subject) = (issuer.clone(), subject.clone());
    Some(CredentialDescriptor { id: credential, issuer, fingerprint, serial, subject, window, capabilities })
}

/// A membership carries no condition that its target would enforce.
pub(crate) fn enforceable(conditions: &[Condition]) -> Result<(), Code> {
    let broker = |c: &Condition| matches!(c.enforcement, Enforcement::Broker | Enforcement::Advisory);
    if conditions.iter().all(broker) { Ok(()) } else { Err(code!("condition_not_enforceable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(member: bool, marks: &[(u8, Origin)]) -> Standing {
        let mark = |&(id, origin)| Mark { credential: CredentialId::v8([id; 16]), origin, reason: None };
        Standing { member, marks: marks.iter().map(mark).collect() }
    }

    const OURS: (u8, Origin) = (1, Origin::Granted);
    const THEIRS: (u8, Origin) = (2, Origin::AlreadyMember);

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for (origin, text) in
            [(Origin::Granted, "readers/al/ice"), (Origin::AlreadyMember, "already_member:readers/al/ice")]
        {
            let name = MembershipName::new(origin, "readers", "al/ice");
            let serial = name.serial().unwrap_or_else(|| panic!("a serial"));
            assert_eq!(serial.as_str(), text);
            assert_eq!(MembershipName::parse(&serial), Some(name));
        }
        assert_eq!(MembershipName::new(Origin::Granted, "g", "m".repeat(254)).serial(), None);
        assert_eq!(MembershipName::new(Origin::Granted, "g", "a\nb").serial(), None);
    }

    #[test]
    fn what_stood_before_is_marked_and_never_made() {
        let id = CredentialId::v8([9; 16]);
        assert_eq!(standing(false, &[]).joining(id), Joining::Add);
        assert_eq!(standing(false, &[OURS]).joining(id), Joining::Add);
        assert_eq!(standing(true, &[]).joining(id), Joining::Mark(Origin::AlreadyMember));
        assert_eq!(standing(true, &[THEIRS]).joining(id), Joining::Mark(Origin::AlreadyMember));
        assert_eq!(standing(true, &[THEIRS, OURS]).joining(id), Joining::Mark(Origin::Granted));
        assert_eq!(standing(true, &[OURS]).joining(CredentialId::v8([1; 16])), Joining::Done(Origin::Granted));
        assert_eq!(standing(false, &[OURS]).joining(CredentialId::v8([1; 16])), Joining::Add);
    }

    #[test]
    fn only_what_was_granted_is_removed() {
        assert_eq!(standing(true, &[OURS]).leaving(Origin::Granted), Leaving::Remove);
        // Somebody wiped our mark: the record knows better.
        assert_eq!(standing(true, &[]).leaving(Origin::Granted), Leaving::Remove);
        assert_eq!(standing(false, &[OURS]).leaving(Origin::Granted), Leaving::Unmark);
        assert_eq!(standing(false, &[]).leaving(Origin::Granted), Leaving::Nothing);
        assert_eq!(standing(true, &[THEIRS]).leaving(Origin::AlreadyMember), Leaving::Unmark);
        // Somebody forged a mark: the record knows better.
        assert_eq!(standing(true, &[OURS]).leaving(Origin::AlreadyMember), Leaving::Unmark);
        assert_eq!(standing(true, &[]).leaving(Origin::AlreadyMember), Leaving::Nothing);
    }

    #[test]
    fn an_orphan_is_ended_only_while_it_is_what_was_found() {
        let only_reported = Err(RevokeError::Refused { cause: code!("only_reported") });
        for (standing, found, report, remove) in [
            (standing(true, &[]), Origin::Granted, only_reported, Ok(Leaving::Remove)),
            (standing(true, &[OURS]), Origin::Granted, Ok(Leaving::Remove), Ok(Leaving::Remove)),
            (standing(true, &[THEIRS]), Origin::Granted, Ok(Leaving::Nothing), Ok(Leaving::Nothing)),
            (standing(true, &[THEIRS]), Origin::AlreadyMember, Ok(Leaving::Unmark), Ok(Leaving::Unmark)),
            (standing(true, &[OURS]), Origin::AlreadyMember, Ok(Leaving::Nothing), Ok(Leaving::Nothing)),
            (standing(false, &[OURS]), Origin::Granted, Ok(Leaving::Nothing), Ok(Leaving::Nothing)),
        ] {
            assert_eq!(standing.clearing(found, Strays::Report), report);
            assert_eq!(standing.clearing(found, Strays::Remove), remove);
        }
    }
}
