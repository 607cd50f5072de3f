//! Use of access that targets report: putting it on record, and holding it against what was granted.

use crate::{
    case::{Case, MintState, command::Decided, refusal::Refusal},
    code,
    event::AccessObserved,
    ids::CredentialId,
    text::Code,
};

/// How many uses of access one case records. More are recorded beside it: who uses access often must not make every act on the
/// case slow.
pub const MAX_USES: usize = 128;

/// What is wrong with a use of access, held against what was granted. Moments are the target's, by the target's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UseFinding {
    /// With a credential that nobody was given, as far as is known: its mint has failed, is unknown or was never finished.
    NeverReleased,
    /// Before the window of the credential.
    BeforeWindow,
    /// After the end of the credential, verifiers' leeway included.
    AfterWindow,
    /// After the grant had ended: access that outlived its end.
    AfterEnd,
    /// By somebody else than the recipient of the grant.
    OtherSubject,
}

impl UseFinding {
    /// A stable code.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::NeverReleased => code!("never_released"),
            Self::BeforeWindow => code!("before_window"),
            Self::AfterWindow => code!("after_window"),
            Self::AfterEnd => code!("after_end"),
            Self::OtherSubject => code!("other_subject"),
        }
    }
}

impl Case {
    /// Holds a use of a credential against what the records say of it, in the order of [`UseFinding`]. `None` if the case has no
    /// such credential.
    #[must_use]
    pub fn judge_use(&self, credential: CredentialId, used: &AccessObserved) -> Option<Vec<UseFinding>> {
        let known = self.credentials.get(&credential)?;
        let at = used.occurred_at;
        let window = known.descriptor.as_ref().map_or(known.intended.issued, |descriptor| descriptor.window);
        let leeway = std::time::Duration::from_secs(known.intended.capabilities.leeway_s.into());
        let ended = self.grant.as_ref().and_then(|grant| grant.end.as_ref());
        let subject = &known.intended.subject;
        let findings = [
            (UseFinding::NeverReleased, known.mint != MintState::Issued),
            (UseFinding::BeforeWindow, at < window.start()),
            (UseFinding::AfterWindow, at >= window.end().saturating_add(leeway)),
            (UseFinding::AfterEnd, ended.is_some_and(|end| end.at <= at)),
            (UseFinding::OtherSubject, used.by.as_ref().is_some_and(|by| by != subject)),
        ];
        Some(findings.into_iter().filter(|(_, holds)| *holds).map(|(finding, _)| finding).collect())
    }

    pub(super) fn observe(&self, credential: CredentialId, used: &AccessObserved) -> Decided {
        if !self.credentials.contains_key(&credential) {
            return Decided::refused(Refusal::Credential(credential));
        }
        if self.uses >= MAX_USES {
            return Decided::refused(Refusal::TooManyUses);
        }
        Decided::about(credential, [used.clone().into()])
    }
}
