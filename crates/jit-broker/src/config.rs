//! What a broker accepts and how patient it is.

use std::{num::NonZeroU32, time::Duration};

use jit_core::{GroupCount, GroupName, RequestLimits};

/// The furthest a credential's start may be set back for slow clocks.
pub const MAX_BACKDATE: Duration = Duration::from_secs(60);

/// The settings of a broker.
///
/// ```
/// use std::time::Duration;
/// let settings = jit_broker::Settings::default().mint_timeout(Duration::from_secs(5));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    pub(crate) limits: RequestLimits,
    pub(crate) backdate: Duration,
    pub(crate) mint_timeout: Duration,
    pub(crate) resolve_after: Duration,
    pub(crate) revocation: RevocationSchedule,
    pub(crate) refusal_interval: Duration,
    pub(crate) lease: Duration,
    pub(crate) fact_timeout: Duration,
    pub(crate) policy_review: Option<GroupCount>,
    pub(crate) judged_by_policy: bool,
    pub(crate) approvals_signed: bool,
    pub(crate) reviewers: Option<GroupName>,
}

/// How often and how patiently a revocation is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RevocationSchedule {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) attempts: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(11);
        Self {
            limits: RequestLimits::default(),
            backdate: Duration::ZERO,
            mint_timeout: Duration::from_secs(10),
            resolve_after: Duration::from_secs(60),
            revocation: RevocationSchedule {
                first: Duration::from_secs(5),
                longest: Duration::from_secs(3600),
                attempts: ATTEMPTS,
            },
            refusal_interval: Duration::from_secs(60),
            lease: Duration::from_secs(30),
            fact_timeout: Duration::from_secs(5),
            policy_review: None,
            judged_by_policy: false,
            approvals_signed: false,
            reviewers: None,
        }
    }
}

impl Settings {
    /// What requests are accepted at most, whatever a policy says. The default is thirty days, ending within ninety.
    pub fn limits(mut self, limits: RequestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks the policy whether somebody may approve (action `approve`) or review (action `review`), besides the directory that says
    /// which groups they are in. Each answer is recorded. Without it the directory alone decides.
    pub fn judged_by_policy(mut self) -> Self {
        self.judged_by_policy = true;
        self
    }

    /// Takes only approvals that are signed with Ed25519 by a key of the approver's.
    pub fn approvals_signed(mut self) -> Self {
        self.approvals_signed = true;
        self
    }

    /// Lets only members of this group review emergencies. The default is anybody without an interest.
    pub fn reviewers(mut self, group: GroupName) -> Self {
        self.reviewers = Some(group);
        self
    }

    /// By how much the start of credentials is set back, at most [`MAX_BACKDATE`]. The default is not at all.
    pub fn backdate(mut self, by: Duration) -> Self {
        self.backdate = by.min(MAX_BACKDATE);
        self
    }

    /// How long any answer of an issuer is waited for; after that a mint or a revocation counts as unknown. The default is
    /// ten seconds.
    pub fn mint_timeout(mut self, timeout: Duration) -> Self {
        self.mint_timeout = timeout;
        self
    }

    /// After what time another process takes over a mint or a revocation that has no outcome; longer than
    /// [`mint_timeout`](Self::mint_timeout). The default is a minute.
    pub fn resolve_after(mut self, after: Duration) -> Self {
        self.resolve_after = after;
        self
    }

    /// How soon a failed revocation is tried again, doubling up to `longest`, and how often in all. The default is five
    /// seconds, an hour and twelve times.
    pub fn revocation(mut self, first: Duration, longest: Duration, attempts: NonZeroU32) -> Self {
        self.revocation = RevocationSchedule { first, longest, attempts };
        self
    }

    /// How often the refusals of one principal for one reason are recorded at most. The default is once a minute.
    pub fn refusal_interval(mut self, interval: Duration) -> Self {
        self.refusal_interval = interval;
        self
    }

    /// For how long a worker keeps due work to itself. The default is thirty seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long each source of facts is waited for; after that the decision is indeterminate, and names the source. The default
    /// is five seconds.
    pub fn fact_timeout(mut self, timeout: Duration) -> Self {
        self.fact_timeout = timeout;
        self
    }

    /// How many members of which group must have approved a policy before it is published; whoever proposed it does not
    /// count. The default is none, and then [`Broker::publish`](crate::Broker::publish) needs nobody else.
    pub fn policy_review(mut self, required: GroupCount) -> Self {
        self.policy_review = Some(required);
        self
    }
}
