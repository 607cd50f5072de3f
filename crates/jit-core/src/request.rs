//! A request for access. Whoever asks, for whom, for what, when and why are arguments: nothing mandatory can be forgotten.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{CanonicalError, Object, Value},
    code,
    demand::{JustificationDemand, JustificationLack},
    event::RequestSubmitted,
    external::ExternalRef,
    ids::{CaseId, GrantId},
    justification::Justification,
    principal::{Principal, PrincipalId},
    provenance::{Provenance, ProvenanceError, TokenClaims, VerifiedToken},
    scope::Scope,
    source::Seconds,
    text::{Action, Code, RetentionClass},
    time::Timestamp,
    window::Window,
};

/// The most external references one request may carry.
pub const MAX_EXTERNAL: usize = 32;
/// The most grants above a delegated request.
pub const MAX_DEPTH: usize = 8;
/// The most holders of grants above a delegated request.
pub const MAX_HOLDERS: usize = 256;

/// A request does not construct, or may not be submitted now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The window ends before the request is made.
    #[error("requested window ended at {end}, before {now}")]
    WindowPast {
        /// The end asked for.
        end: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// The window reaches further ahead than the broker allows.
    #[error("requested window ends at {end}, later than the furthest allowed {furthest}")]
    WindowTooFar {
        /// The end asked for.
        end: Timestamp,
        /// The furthest end allowed.
        furthest: Timestamp,
    },
    /// The window is wider than the broker allows.
    #[error("requested window is longer than {max_s} seconds")]
    WindowTooLong {
        /// The longest window allowed, in seconds.
        max_s: u64,
    },
    /// A rule cannot ask for access.
    #[error("a rule cannot be a requester")]
    RuleAsks,
    /// An agent asks for another recipient than the workload it names (INV-16).
    #[error("an agent's privilege goes to the workload it names, not to {recipient}")]
    AgentRecipient {
        /// Who was to receive it.
        recipient: PrincipalId,
    },
    /// Too many external references.
    #[error("more than {max} external references")]
    TooManyReferences {
        /// The limit.
        max: usize,
    },
    /// The scope or window is not within the parent grant's (INV-15).
    #[error("request is not within its parent grant {parent}")]
    BeyondParent {
        /// The parent grant.
        parent: GrantId,
    },
    /// The grants above form a cycle or are too deep (INV-15).
    #[error("grants above the request form a cycle or are more than {MAX_DEPTH}")]
    Ancestry,
    /// Too many people hold grants above (INV-07 must name them all).
    #[error("more than {MAX_HOLDERS} holders of grants above")]
    TooManyHolders,
    /// An emergency asks for a longer window than emergencies may.
    #[error("an emergency's window is longer than {max_s} seconds")]
    EmergencyTooLong {
        /// The longest allowed, in seconds.
        max_s: u64,
    },
    /// An emergency would be reviewed too late.
    #[error("an emergency must be reviewed within {max_s} seconds")]
    ReviewTooLate {
        /// The longest allowed, in seconds.
        max_s: u64,
    },
    /// An emergency defers its justification for too long.
    #[error("an emergency must be justified within {max_s} seconds")]
    JustificationTooLate {
        /// The longest allowed, in seconds.
        max_s: u64,
    },
    /// The justification lacks something (INV-10).
    #[error(transparent)]
    Justification(#[from] JustificationLack),
    /// Copied attributes use a reserved key or nest too deeply.
    #[error("attributes are not acceptable: {0}")]
    Attributes(CanonicalError),
    /// What is said of where the requester's identity comes from does not fit the requester.
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
}

impl RequestError {
    /// A stable code for records.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::WindowPast { .. } => code!("window_past"),
            Self::WindowTooFar { .. } => code!("window_too_far"),
            Self::WindowTooLong { .. } => code!("window_too_long"),
            Self::RuleAsks => code!("rule_asks"),
            Self::AgentRecipient { .. } => code!("agent_recipient"),
            Self::TooManyReferences { .. } => code!("too_many_references"),
            Self::BeyondParent { .. } => code!("beyond_parent"),
            Self::Ancestry => code!("ancestry"),
            Self::TooManyHolders => code!("too_many_holders"),
            Self::EmergencyTooLong { .. } => code!("emergency_too_long"),
            Self::ReviewTooLate { .. } => code!("review_too_late"),
            Self::JustificationTooLate { .. } => code!("justification_too_late"),
            Self::Justification(lack) => lack.code(),
            Self::Attributes(_) => code!("attributes"),
            Self::Provenance(_) => code!("provenance"),
        }
    }
}

/// How severe an emergency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A service is degraded.
    High,
    /// A service is down or people are at risk.
    Critical,
}

/// An emergency: the request is loud, and opens a review that only another person can close (INV-19).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// How severe it is.
    pub severity: Severity,
    /// The declared emergency, as a code.
    pub emergency: Code,
    /// How soon after the request it must be reviewed.
    pub review_within: Seconds,
    /// How soon a deferred justification must follow.
    pub justify_within: Seconds,
}

impl BreakGlass {
    fn check(&self, window: &Window, justified: bool, limits: &EmergencyLimits) -> Result<(), RequestError> {
        if window.duration() > limits.longest {
            return Err(RequestError::EmergencyTooLong { max_s: limits.longest.as_secs() });
        }
        if self.review_within.to_duration() > limits.review_within {
            return Err(RequestError::ReviewTooLate { max_s: limits.review_within.as_secs() });
        }
        if !justified && self.justify_within.to_duration() > limits.justify_within {
            return Err(RequestError::JustificationTooLate { max_s: limits.justify_within.as_secs() });
        }
        Ok(())
    }
}

/// The grant from which a request derives its authority, with everything above it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentGrant {
    /// The case of the parent.
    pub case: CaseId,
    /// The parent grant.
    pub grant: GrantId,
    /// What the parent allows.
    pub scope: Scope,
    /// When the parent allows it.
    pub window: Window,
    /// The grants above the parent, outermost first.
    pub path: Vec<GrantId>,
    /// Everyone who asked for, received or was acted for in a grant above: none of them may approve (INV-07).
    pub holders: Vec<PrincipalId>,
}

impl ParentGrant {
    /// How many grants are above the request: the parent and its path.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.path.len().saturating_add(1)
    }

    fn check(&self, scope: &Scope, window: &Window) -> Result<(), RequestError> {
        let mut seen = self.path.clone();
        seen.push(self.grant);
        seen.sort();
        seen.dedup();
        if seen.len() != self.depth() || self.depth() > MAX_DEPTH {
            return Err(RequestError::Ancestry);
        }
        if self.holders.len() > MAX_HOLDERS {
            return Err(RequestError::TooManyHolders);
        }
        if !scope.is_within(&self.scope) || !window.is_within(&self.window) {
            return Err(RequestError::BeyondParent { parent: self.grant });
        }
        Ok(())
    }
}

/// What a broker accepts at most, whatever a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    /// The longest window.
    pub longest: Duration,
    /// How far ahead a window may end.
    pub furthest: Duration,
    /// What an emergency may ask for.
    pub emergency: EmergencyLimits,
    /// What every justification must have, a deferred one too.
    pub justification: JustificationDemand,
}

impl Default for RequestLimits {
    /// Thirty days long, ending within ninety; nothing demanded of a justification.
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            longest: Duration::from_secs(30 * DAY),
            furthest: Duration::from_secs(90 * DAY),
            emergency: EmergencyLimits::default(),
            justification: JustificationDemand::default(),
        }
    }
}

/// What an emergency may ask for at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmergencyLimits {
    /// The longest window.
    pub longest: Duration,
    /// How long its review may take.
    pub review_within: Duration,
    /// For how long its justification may be deferred.
    pub justify_within: Duration,
}

impl Default for EmergencyLimits {
    /// Eight hours long, justified within a day, reviewed within a week.
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            longest: Duration::from_secs(8 * HOUR),
            review_within: Duration::from_secs(7 * 24 * HOUR),
            justify_within: Duration::from_secs(24 * HOUR),
        }
    }
}

/// A request for access.
///
/// ```
/// use jit_core::*;
/// # let window = Window::new(Timestamp::EPOCH, Timestamp::MAX)?;
/// let request = Request::builder(
///     Principal::human(Identity::new("idp.example", "u-1042")?),
///     Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?,
///     window,
///     Justification::new("restore order 42, INC-7")?,
///     RetentionClass::new("access")?,
/// )
/// .build()?;
/// assert_eq!(request.recipient(), &request.requester().id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    requester: Principal,
    recipient: PrincipalId,
    scope: Scope,
    window: Window,
    justification: Option<Justification>,
    break_glass: Option<BreakGlass>,
    parent: Option<ParentGrant>,
    external: Vec<ExternalRef>,
    attributes: Option<Value>,
    provenance: Option<Provenance>,
    claims: Option<Vec<TokenClaims>>,
    retain: RetentionClass,
}

impl Request {
    /// Begins a request. Everything without which there is no request is an argument.
    pub fn builder(
        requester: Principal,
        scope: Scope,
        window: Window,
        justification: Justification,
        retain: RetentionClass,
    ) -> RequestBuilder {
        RequestBuilder::new(requester, scope, window, Some(justification), None, retain)
    }

    /// Begins an emergency request, which alone may defer its justification.
    pub fn break_glass(
        requester: Principal,
        scope: Scope,
        window: Window,
        break_glass: BreakGlass,
        retain: RetentionClass,
    ) -> RequestBuilder {
        RequestBuilder::new(requester, scope, window, None, Some(break_glass), retain)
    }

    /// The request as it was recorded, to be judged again under the policy of today.
    #[must_use]
    pub fn from_submitted(submitted: &RequestSubmitted, retain: RetentionClass) -> Self {
        Self {
            requester: submitted.requester.clone(),
            recipient: submitted.recipient.clone(),
            scope: submitted.scope.clone(),
            window: submitted.requested,
            justification: submitted.justification.clone(),
            break_glass: submitted.break_glass.clone(),
            parent: submitted.parent.clone(),
            external: submitted.external.clone(),
            attributes: submitted.attributes.clone(),
            provenance: submitted.provenance.clone(),
            claims: submitted.claims.clone(),
            retain,
        }
    }

    /// The request with another window and the reason given for it, to be judged as an extension.
    #[must_use]
    pub fn extended_to(self, window: Window, justification: Option<Justification>) -> Self {
        Self { window, justification, ..self }
    }

    /// The request as an approver narrowed it.
    #[must_use]
    pub fn narrowed_to(self, scope: Scope, window: Window) -> Self {
        Self { scope, window, ..self }
    }

    /// What the policy is asked about somebody who wants to approve or review this request: may they do that (`act`) to the
    /// resource? For sources of facts they are the one who asks.
    ///
    /// # Errors
    /// [`RequestError::RuleAsks`] if a rule wants to.
    pub fn judged_by(&self, judge: Principal, act: Action) -> Result<Self, RequestError> {
        if matches!(judge, Principal::Rule { .. }) {
            return Err(RequestError::RuleAsks);
        }
        Ok(Self {
            requester: judge,
            scope: self.scope.with_action(act),
            external: Vec::new(),
            attributes: None,
            ..self.clone()
        })
    }

    /// The record of this request.
    #[must_use]
    pub fn to_submitted(&self) -> RequestSubmitted {
        RequestSubmitted {
            requester: self.requester.clone(),
            recipient: self.recipient.clone(),
            scope: self.scope.clone(),
            requested: self.window,
            justified: self.justification.is_some(),
            justification: self.justification.clone(),
            break_glass: self.break_glass.clone(),
            parent: self.parent.clone(),
            external: self.external.clone(),
            attributes: self.attributes.clone(),
            provenance: self.provenance.clone(),
            claims: self.claims.clone(),
        }
    }

    /// Who asks.
    #[must_use]
    pub fn requester(&self) -> &Principal {
        &self.requester
    }

    /// Who receives the privilege.
    #[must_use]
    pub fn recipient(&self) -> &PrincipalId {
        &self.recipient
    }

    /// What is asked for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When it is asked for.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Why; absent only in an emergency that defers it.
    #[must_use]
    pub fn justification(&self) -> Option<&Justification> {
        self.justification.as_ref()
    }

    /// The emergency, if it is one.
    #[must_use]
    pub fn emergency(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// The grant above, if the authority is delegated.
    #[must_use]
    pub fn parent(&self) -> Option<&ParentGrant> {
        self.parent.as_ref()
    }

    /// References to other systems.
    #[must_use]
    pub fn external(&self) -> &[ExternalRef] {
        &self.external
    }

    /// The requester's attributes as copied from its issuer.
    #[must_use]
    pub fn attributes(&self) -> Option<&Value> {
        self.attributes.as_ref()
    }

    /// Who asserted what of the requester; absent if nothing is said of it.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    /// The claims of the requester's tokens, verbatim. Personal data.
    #[must_use]
    pub fn claims(&self) -> &[TokenClaims] {
        self.claims.as_deref().unwrap_or_default()
    }

    /// The retention class of everything in the case.
    #[must_use]
    pub fn retain(&self) -> &RetentionClass {
        &self.retain
    }

    /// Whether the request may be made now.
    ///
    /// # Errors
    /// [`RequestError`] if its window is past, too far ahead or too long, an emergency goes beyond its limits, or the justification
    /// lacks something.
    pub fn check_submittable(&self, now: Timestamp, limits: &RequestLimits) -> Result<(), RequestError> {
        let end = self.window.end();
        if end <= now {
            return Err(RequestError::WindowPast { end, now });
        }
        let furthest = now.saturating_add(limits.furthest);
        if end > furthest {
            return Err(RequestError::WindowTooFar { end, furthest });
        }
        if self.window.duration() > limits.longest {
            return Err(RequestError::WindowTooLong { max_s: limits.longest.as_secs() });
        }
        if let Some(emergency) = &self.break_glass {
            emergency.check(&self.window, self.justification.is_some(), &limits.emergency)?;
        }
        if let Some(justification) = &self.justification {
            limits.justification.check(justification, &self.external)?;
        }
        Ok(())
    }
}

/// A request being built; all that is mandatory is in it already.
#[derive(Debug, Clone)]
#[must_use = "a request is made by build()"]
pub struct RequestBuilder(Request);

impl RequestBuilder {
    fn new(
        requester: Principal,
        scope: Scope,
        window: Window,
        justification: Option<Justification>,
        break_glass: Option<BreakGlass>,
        retain: RetentionClass,
    ) -> Self {
        let recipient = requester.default_recipient();
        Self(Request {
            requester,
            recipient,
            scope,
            window,
            justification,
            break_glass,
            parent: None,
            external: Vec::new(),
            attributes: None,
            provenance: None,
            claims: None,
            retain,
        })
    }

    /// Names another recipient than the requester. An agent's is the workload that it names.
    pub fn recipient(mut self, recipient: PrincipalId) -> Self {
        self.0.recipient = recipient;
        self
    }

    /// Gives the justification of an emergency at once.
    pub fn justification(mut self, justification: Justification) -> Self {
        self.0.justification = Some(justification);
        self
    }

    /// Derives the authority from a parent grant.
    pub fn parent(mut self, parent: ParentGrant) -> Self {
        self.0.parent = Some(parent);
        self
    }

    /// Adds a reference to another system.
    pub fn external(mut self, reference: ExternalRef) -> Self {
        self.0.external.push(reference);
        self
    }

    /// Copies the requester's attributes, so that they outlive the directory entry. They are personal data.
    pub fn attributes(mut self, attributes: Object) -> Self {
        self.0.attributes = Some(Value::Object(attributes));
        self
    }

    /// Says who asserted what of the requester.
    pub fn provenance(mut self, provenance: Provenance) -> Self {
        self.0.provenance = Some(provenance);
        self
    }

    /// Keeps the claims of tokens, verbatim and erasable; the provenance must name the tokens.
    pub fn claims(mut self, tokens: impl IntoIterator<Item = VerifiedToken>) -> Self {
        let claims = tokens.into_iter().map(|t| TokenClaims { token: t.facts.digest, claims: t.claims });
        self.0.claims = Some(claims.collect());
        self
    }

    /// Finishes the request.
    ///
    /// # Errors
    /// [`RequestError`] if the requester is a rule, an agent names another recipient, the request exceeds its parent, or an extra is not acceptable.
    pub fn build(self) -> Result<Request, RequestError> {
        let request = self.0;
        if matches!(request.requester, Principal::Rule { .. }) {
            return Err(RequestError::RuleAsks);
        }
        if matches!(request.requester, Principal::Agent(_))
            && request.recipient != request.requester.default_recipient()
        {
            return Err(RequestError::AgentRecipient { recipient: request.recipient });
        }
        if request.external.len() > MAX_EXTERNAL {
            return Err(RequestError::TooManyReferences { max: MAX_EXTERNAL });
        }
        if let Some(parent) = &request.parent {
            parent.check(&request.scope, &request.window)?;
        }
        if let Some(attributes) = &request.attributes {
            attributes.check_no_reserved_keys().map_err(RequestError::Attributes)?;
        }
        if let Some(provenance) = &request.provenance {
            provenance.check(&request.requester)?;
        }
        let tokens = request.provenance.as_ref().map_or(&[][..], Provenance::tokens);
        if let Some(stray) = request.claims().iter().find(|c| tokens.iter().all(|token| token.digest != c.token)) {
            return Err(ProvenanceError::StrayClaims(stray.token).into());
        }
        Ok(request)
    }
}
