//! The issuer: one call of `AssumeRole` for one credential.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sts::{
    Client,
    config::{self, retry::RetryConfig, timeout::TimeoutConfig},
    error::BuildError,
    operation::assume_role::builders::AssumeRoleFluentBuilder,
    types::{PolicyDescriptorType, Tag},
};
use jit_core::{
    Code, Condition, CrashClass, CredentialDescriptor, Enforcement, ExternalDigest, ExternalId, HolderKey,
    IssuerCapabilities, IssuerName, PrincipalId, Scope, Seconds, Window, code,
};
use jit_issuer::{
    CredentialIssuer, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError, Observed, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeError, RevokeOutcome,
};
use sha2::{Digest as _, Sha256};

use crate::{
    answer::{Session, failure},
    names::{SessionName, SourceIdentity},
    role::{AssumableRole, AssumableRoles},
};

/// The shortest session that AWS gives, in seconds.
pub const MIN_SESSION_S: u32 = 900;
/// The longest life of a session unless configured otherwise, in seconds: what roles allow unless configured otherwise.
pub const DEFAULT_MAX_TTL_S: u32 = 3600;
/// By how much less than the rest of the window is asked for unless configured otherwise, in seconds.
pub const DEFAULT_ALLOWANCE_S: u32 = 30;

/// The longest session that any role allows, in seconds.
const AWS_MAX_S: u32 = 43_200;
/// The tags of a session, each transitive.
const TAGS: [&str; 3] = ["jit:grant", "jit:decision", "jit:evidence"];

/// Opens sessions of roles.
///
/// ```
/// use jit_core::{Action, IssuerName, Scope};
/// use jit_issuer::CredentialIssuer as _;
/// use jit_issuer_aws::{AssumableRole, AssumableRoles, AwsStsIssuer, RoleArn, aws_sdk_sts};
///
/// let read = Scope::new("bucket:prod/orders".parse()?, [Action::new("read")?])?;
/// let role = AssumableRole::new(RoleArn::new("arn:aws:iam::123456789012:role/orders-reader")?);
/// // In a service, from `aws_config::load_defaults`: region, credentials and HTTP client are its own.
/// let config = aws_sdk_sts::Config::builder().behavior_version_latest().build();
/// let client = aws_sdk_sts::Client::from_conf(config);
/// let issuer = AwsStsIssuer::new(IssuerName::new("aws-prod")?, client, AssumableRoles::new().with(read, role));
/// assert_eq!(issuer.capabilities().min_ttl_s, 930);
/// assert!(!issuer.capabilities().can_revoke);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AwsStsIssuer {
    name: IssuerName,
    client: Client,
    roles: AssumableRoles,
    max_ttl_s: u32,
    allowance_s: u32,
    patience: Duration,
}

impl AwsStsIssuer {
    /// An issuer known to records as `name`, which calls STS with `client`: as an identity that each role trusts for `sts:AssumeRole`,
    /// `sts:TagSession` and `sts:SetSourceIdentity`. Sessions live for at most [`DEFAULT_MAX_TTL_S`], and an answer is waited for ten
    /// seconds.
    #[must_use]
    pub fn new(name: IssuerName, client: Client, roles: AssumableRoles) -> Self {
        Self {
            name,
            client,
            roles,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            allowance_s: DEFAULT_ALLOWANCE_S,
            patience: Duration::from_secs(10),
        }
    }

    /// Lets sessions live for at most this long; never for more than twelve hours, nor for less than the shortest one. What a role allows
    /// (`MaxSessionDuration`, one hour when roles are chained) must not be less.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get().clamp(self.min_ttl_s(), AWS_MAX_S);
        self
    }

    /// Asks for this much less than the rest of the window: at least the time from the intent to AWS's receipt of the call, and the difference
    /// of both clocks.
    #[must_use]
    pub fn with_allowance(mut self, allowance: Seconds) -> Self {
        self.allowance_s = allowance.get().min(AWS_MAX_S - MIN_SESSION_S);
        self.max_ttl_s = self.max_ttl_s.max(self.min_ttl_s());
        self
    }

    /// How long to wait for the answer to a call.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn min_ttl_s(&self) -> u32 {
        MIN_SESSION_S.saturating_add(self.allowance_s)
    }

    /// How long a session may be asked for in this window, in seconds.
    fn duration(&self, window: Window) -> Result<i32, Code> {
        let asked = window.duration().as_secs().checked_sub(self.allowance_s.into());
        let asked = asked.filter(|asked| *asked >= MIN_SESSION_S.into()).and_then(|asked| i32::try_from(asked).ok());
        asked.ok_or(code!("shorter_than_900_s"))
    }

    /// The role for a grant, or the code of why there is none.
    fn role(
        &self,
        subject: &PrincipalId,
        scope: &Scope,
        conditions: &[Condition],
        holder_key: Option<&HolderKey>,
    ) -> Result<&AssumableRole, Code> {
        if holder_key.is_some() {
            return Err(code!("cannot_bind"));
        }
        if !matches!(subject, PrincipalId::Identity(_) | PrincipalId::Workload(_)) {
            return Err(code!("subject_cannot_hold"));
        }
        if conditions.iter().any(|c| !matches!(c.enforcement, Enforcement::Broker | Enforcement::Advisory)) {
            return Err(code!("condition_not_enforceable"));
        }
        self.roles.of(scope).ok_or(code!("no_role_for_scope"))
    }

    fn call(
        &self,
        role: &AssumableRole,
        authorization: &MintAuthorization,
        seconds: i32,
    ) -> Result<AssumeRoleFluentBuilder, BuildError> {
        let values = [
            authorization.grant().to_string(),
            authorization.decision().to_string(),
            authorization.evidence().to_string(),
        ];
        let tags = TAGS.iter().zip(values).map(|(key, value)| Tag::builder().key(*key).value(value).build());
        let managed = role.policy_arns().iter().map(|arn| PolicyDescriptorType::builder().arn(arn.as_str()).build());
        let managed: Vec<_> = managed.collect();
        Ok(self
            .client
            .assume_role()
            .role_arn(role.arn().as_str())
            .role_session_name(SessionName::of(authorization.credential()).to_string())
            .source_identity(SourceIdentity::of(authorization.grant()).to_string())
            .set_tags(Some(tags.collect::<Result<_, _>>()?))
            .set_transitive_tag_keys(Some(TAGS.map(str::to_owned).to_vec()))
            .set_policy(role.policy().map(|policy| policy.as_str().to_owned()))
            .set_policy_arns((!managed.is_empty()).then_some(managed))
            .set_external_id(role.external_id().map(|id| id.as_str().to_owned()))
            .duration_seconds(seconds))
    }
}

#[async_trait]
impl CredentialIssuer for AwsStsIssuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::RemoteStateless,
            prepares: false,
            can_revoke: false,
            can_confirm: false,
            native_expiry: true,
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: 0,
            min_ttl_s: self.min_ttl_s(),
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let fit = window.shortened_to(Duration::from_secs(self.max_ttl_s.into()))?;
        self.duration(fit).ok().map(|_| fit)
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        let refused = |cause| PlanRefused { cause };
        self.role(plan.subject(), plan.scope(), plan.conditions(), plan.holder_key()).map_err(refused)?;
        self.duration(plan.window()).map_err(refused)?;
        Ok(())
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let refused = |cause| MintError::Refused { cause };
        let failed = |cause| MintError::Failed { cause };
        authorization.meant_for(self)?;
        let role = self
            .role(
                authorization.subject(),
                authorization.scope(),
                authorization.conditions(),
                authorization.holder_key(),
            )
            .map_err(refused)?;
        // A session begins when it is asked for, and can neither begin later nor have begun before.
        let begun = authorization.issued().remainder(authorization.at()).ok_or(refused(code!("window_over")))?;
        if begun.start() > authorization.at() {
            return Err(refused(code!("window_not_open")));
        }
        let rest = self.fit(begun).ok_or(refused(code!("shorter_than_900_s")))?;
        let seconds = self.duration(rest).map_err(refused)?;
        let name = SessionName::of(authorization.credential());
        let serial = ExternalId::new(name.to_string()).map_err(|_| failed(code!("not_encodable")))?;
        let call = self.call(role, authorization, seconds).map_err(|_| failed(code!("call_not_made")))?;

        let sent = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&sent);
        // A call that is repeated by itself might open two sessions.
        let once = config::Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(self.patience).build());
        // Credentials are there by the time at which a request is about to be signed.
        let watch = move |_: &mut config::http::HttpRequest| seen.store(true, Ordering::Relaxed);
        let answer = call.customize().config_override(once).mutate_request(watch).send().await;
        let answer = answer.map_err(|error| failure(&error, sent.load(Ordering::Relaxed)))?;
        let session = Session::read(answer, name)?;

        let malformed = MintError::Unknown { cause: code!("answer_malformed") };
        let descriptor = CredentialDescriptor {
            id: authorization.credential(),
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes(Sha256::digest(&session.document).into()),
            serial,
            subject: authorization.subject().clone(),
            // What AWS says, also where that is later than was asked for.
            window: Window::new(rest.start(), session.expires).map_err(|_| malformed.clone())?,
            capabilities: self.capabilities(),
        };
        let secret = authorization.seal(session.document).map_err(|_| malformed)?;
        Ok(Minting::Done(Minted { descriptor, secret: Some(secret) }))
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() })
    }

    /// STS keeps no list of sessions.
    async fn reconcile(&self, _query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        Err(ObserveError::Unsupported)
    }
}

impl fmt::Debug for AwsStsIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsStsIssuer")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("max_ttl_s", &self.max_ttl_s)
            .field("allowance_s", &self.allowance_s)
            .finish_non_exhaustive()
    }
}
