//! Dynamic roles of a PostgreSQL server, bound to grant, decision and evidence.
//!
//! | where | what |
//! |---|---|
//! | name | `jit_<32 hexadecimal digits>`, from the credential id. `%u` in `log_line_prefix` and column `user_name` of `csvlog` show it |
//! | comment | [`CredentialReason`]: `{"g":"<grant>","d":"<decision>","e":"sha256:<hex>"}` |
//! | `IN ROLE` | one prepared role, which the configuration gives for the grant's scope; no right is given to the role itself |
//! | `VALID UNTIL` | the end of the issued window |
//! | `CONNECTION LIMIT` | as configured, or the grant's condition `connection_limit` |
//! | `PASSWORD` | a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677), computed here: the server and its logs never see the password |
//!
//! The secret is the password; the user name is the serial of the descriptor.
//!
//! # Two-phase mint
//!
//! Where the server has prepared transactions (`max_prepared_transactions` above 0), the role is made by `PREPARE TRANSACTION`, recorded
//! as `credential.prepared`, and exists from `COMMIT PREPARED` on: no crash leaves a role that no record explains. Where it has
//! none, the role exists before its record does, which the capability `prepares: false` says; it is found by its name.
//!
//! # Endings
//!
//! `VALID UNTIL` limits the password alone, and no session: the capability `native_expiry` is false, so that every role is taken back, at
//! the end of its window too. Taking back is `NOLOGIN`, cutting the sessions, `DROP ROLE`, and looking whether anything is left. What the
//! holder made in the issuer's database is handed over to the prepared role; if it owns something elsewhere, the role
//! stays, disabled (`role_disabled_owns_objects`).

mod creating;
mod ending;
mod looking;
#[cfg(feature = "postgres-membership")]
pub mod membership;
mod role;
mod session;
mod setup;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    Code, Condition, CrashClass, CredentialDescriptor, CredentialId, Enforcement, Entropy, ExternalDigest, ExternalId,
    IssuerCapabilities, IssuerName, LeafHash, PrincipalId, Recorded, Scope, Seconds, Timestamp, Window, code,
    random_bytes,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use crate::role_name::{RoleName, RoleNameError, RolePrefix};
use crate::{
    CredentialIssuer, CredentialReason, Cursor, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting,
    ObserveError, Observed, OrphanAuthorization, PlanRefused, Prepared, ReconcileQuery, RevokeAuthorization,
    RevokeError, RevokeOutcome,
};
use creating::NewRole;
use looking::Sight;
pub use role::GroupRoles;
pub use session::PostgresTarget;
use session::Trouble;
pub use setup::PostgresIssuerError;

/// The longest life of a role unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 8 * 3600;
/// How many sessions a role may have at once unless configured otherwise.
pub const DEFAULT_CONNECTIONS: u16 = 10;

/// The name of a session that only looks; one that acts has the name of its role.
const LOOKER: &str = "jit-issuer";

/// Makes roles on one server.
///
/// ```no_run
/// # async fn example(entropy: std::sync::Arc<dyn jit_core::Entropy>) -> Result<(), Box<dyn std::error::Error>> {
/// use jit_core::{Action, IssuerName, Scope};
/// use jit_issuer::postgres::{GroupRoles, PostgresIssuer, PostgresTarget, RoleName, RolePrefix};
///
/// let read = Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?;
/// let issuer = PostgresIssuer::connect(
///     IssuerName::new("orders-db")?,
///     PostgresTarget::new("host=db.example.org user=jit_issuer dbname=orders".parse()?),
///     GroupRoles::new().with(read, RoleName::new("orders_reader")?),
///     RolePrefix::default(),
///     entropy,
/// )
/// .await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresIssuer {
    name: IssuerName,
    target: PostgresTarget,
    groups: GroupRoles,
    prefix: RolePrefix,
    entropy: Arc<dyn Entropy>,
    prepares: bool,
    max_ttl_s: u32,
    connections: u16,
}

impl PostgresIssuer {
    /// An issuer known to records as `name`, after a rehearsal on the server: a role is made, bound to each group, disabled and dropped
    /// in a transaction that is rolled back. `entropy` gives passwords of 32 bytes. Roles live for at most [`DEFAULT_MAX_TTL_S`].
    ///
    /// # Errors
    /// [`PostgresIssuerError`] if roles could not be made there, or not be taken back.
    pub async fn connect(
        name: IssuerName,
        target: PostgresTarget,
        groups: GroupRoles,
        prefix: RolePrefix,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, PostgresIssuerError> {
        let found = setup::examine(&target, &prefix, &groups).await?;
        Ok(Self {
            name,
            target,
            groups,
            prefix,
            entropy,
            prepares: found.prepares,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            connections: DEFAULT_CONNECTIONS,
        })
    }

    /// Lets roles live for at most this long.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get();
        self
    }

    /// Lets a role have at most this many sessions at once, at least one.
    #[must_use]
    pub fn with_connections(mut self, connections: u16) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// What a grant leads to at the target, or the code of why it cannot.
    fn effects(
        &self,
        subject: &PrincipalId,
        scope: &Scope,
        conditions: &[Condition],
    ) -> Result<(&RoleName, u16), Code> {
        if !matches!(subject, PrincipalId::Identity(_) | PrincipalId::Workload(_)) {
            return Err(code!("subject_cannot_hold"));
        }
        let group = self.groups.of(scope).ok_or(code!("no_role_for_scope"))?;
        let mut connections = self.connections;
        let enforced =
            conditions.iter().filter(|c| !matches!(c.enforcement, Enforcement::Broker | Enforcement::Advisory));
        for condition in enforced {
            if condition.id != code!("connection_limit") {
                return Err(code!("condition_not_enforceable"));
            }
            let limit = condition.value.as_int().and_then(|limit| u16::try_from(limit).ok()).filter(|limit| *limit > 0);
            connections = connections.min(limit.ok_or(code!("connection_limit_invalid"))?);
        }
        Ok((group, connections))
    }

    fn descriptor(
        &self,
        credential: CredentialId,
        evidence: LeafHash,
        subject: &PrincipalId,
        window: Window,
    ) -> Option<CredentialDescriptor> {
        let role = self.prefix.role(credential);
        Some(CredentialDescriptor {
            id: credential,
            issuer: self.name.clone(),
            fingerprint: fingerprint(&role, evidence),
            serial: ExternalId::new(role.as_str()).ok()?,
            subject: subject.clone(),
            window,
            capabilities: self.capabilities(),
        })
    }

    async fn end(&self, credential: CredentialId) -> Result<RevokeOutcome, RevokeError> {
        let role = self.prefix.role(credential);
        let ended = async {
            let session = self.target.session(role.as_str()).await?;
            ending::end(&session, &role, &self.prefix.transaction(credential)).await
        };
        ended.await.map_err(|trouble| match trouble {
            Trouble::Lost(cause) => RevokeError::Unknown { cause },
            other => RevokeError::Failed { cause: other.code() },
        })
    }

    /// Whether a commit that found nothing prepared was made before.
    async fn committed(&self, session: &session::Session, minted: &Minted) -> Result<bool, Trouble> {
        let sight = looking::look(session, &self.prefix, minted.descriptor.id).await?;
        let Sight::Role(seen) = sight else { return Ok(false) };
        let role = self.prefix.role(minted.descriptor.id);
        Ok(seen.reason.is_some_and(|reason| fingerprint(&role, reason.evidence) == minted.descriptor.fingerprint))
    }
}

/// SHA-256 of name and evidence digest, by which a role is recognised. Of the password it could only be told by who has it.
fn fingerprint(role: &RoleName, evidence: LeafHash) -> ExternalDigest {
    ExternalDigest::from_bytes(Sha256::digest(format!("{} {evidence}", role.as_str())).into())
}

#[async_trait]
impl CredentialIssuer for PostgresIssuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::RemoteStateful,
            prepares: self.prepares,
            can_revoke: true,
            can_confirm: true,
            // Only the password ends by itself; a login that needs none does not, nor does a session.
            native_expiry: false,
            idempotent_mint: false,
            cuts_sessions: true,
            leeway_s: 0,
            min_ttl_s: 1,
            max_ttl_s: self.max_ttl_s,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        window.shortened_to(Duration::from_secs(self.max_ttl_s.into()))
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        let refused = |cause| PlanRefused { cause };
        plan.needs_no_binding()?;
        self.effects(plan.subject(), plan.scope(), plan.conditions()).map_err(refused)?;
        self.fit(plan.window()).ok_or(refused(code!("window_not_expressible")))?;
        Ok(())
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let refused = |cause| MintError::Refused { cause };
        let failed = |cause| MintError::Failed { cause };
        authorization.meant_for(self)?;
        authorization.needs_no_binding()?;
        let window = self.fit(authorization.issued()).ok_or(refused(code!("window_not_expressible")))?;
        let (group, connections) = self
            .effects(authorization.subject(), authorization.scope(), authorization.conditions())
            .map_err(refused)?;
        let credential = authorization.credential();
        let descriptor = self
            .descriptor(credential, authorization.evidence(), authorization.subject(), window)
            .ok_or(failed(code!("not_encodable")))?;
        let random = Zeroizing::new(random_bytes::<32>(&*self.entropy).map_err(|_| failed(code!("no_entropy")))?);
        let password = Zeroizing::new(BASE64URL_NOPAD.encode(&*random));
        let role = self.prefix.role(credential);
        let new = NewRole {
            role: &role,
            group,
            reason: CredentialReason::of(authorization),
            window,
            connections,
            password: &password,
        };
        let session = self.target.session(role.as_str()).await.map_err(mint_error)?;
        if looking::look(&session, &self.prefix, credential).await.map_err(mint_error)? != Sight::Nothing {
            return Err(mint_error(Trouble::Exists));
        }
        if self.prepares {
            new.prepare(&session, &self.prefix.transaction(credential)).await.map_err(mint_error)?;
        } else {
            new.create(&session).await.map_err(mint_error)?;
        }
        let secret = authorization
            .seal(Zeroizing::new(password.as_bytes().to_vec()))
            .map_err(|_| MintError::Unknown { cause: code!("not_sealed") })?;
        Ok(if self.prepares {
            Minting::Prepared(authorization.prepare(descriptor, Some(secret)))
        } else {
            Minting::Done(Minted { descriptor, secret: Some(secret) })
        })
    }

    async fn commit(&self, prepared: Prepared, recorded: &Recorded) -> Result<Minted, MintError> {
        let minted = prepared
            .authorized(recorded)
            .map_err(|_| MintError::Refused { cause: code!("not_recorded_as_prepared") })?;
        let credential = minted.descriptor.id;
        // Whatever keeps it from being committed, it is held ready: only what is not prepared has failed.
        let unknown = |trouble: Trouble| MintError::Unknown { cause: trouble.code() };
        let session = self.target.session(self.prefix.role(credential).as_str()).await.map_err(unknown)?;
        match creating::commit(&session, &self.prefix.transaction(credential)).await {
            Ok(()) => Ok(minted),
            Err(Trouble::Absent) => match self.committed(&session, &minted).await {
                Ok(true) => Ok(minted),
                Ok(false) => Err(MintError::Failed { cause: code!("not_prepared_any_more") }),
                Err(trouble) => Err(unknown(trouble)),
            },
            Err(trouble) => Err(unknown(trouble)),
        }
    }

    async fn abandon(&self, prepared: Prepared) -> Result<(), MintError> {
        let credential = prepared.descriptor().id;
        let unknown = |trouble: Trouble| MintError::Unknown { cause: trouble.code() };
        let session = self.target.session(self.prefix.role(credential).as_str()).await.map_err(unknown)?;
        match creating::abandon(&session, &self.prefix.transaction(credential)).await {
            Ok(()) | Err(Trouble::Absent) => Ok(()),
            Err(trouble) => Err(unknown(trouble)),
        }
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        self.end(descriptor.id).await
    }

    /// The catalogue keeps no trace of a dropped role: one that is not there is [`Observed::Gone`], whether it ever was or not.
    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let credential = query.credential();
        let unknown = |cause: Code| ObserveError::Unknown { cause };
        let lost = |trouble: Trouble| ObserveError::Unknown { cause: trouble.code() };
        let session = self.target.session(LOOKER).await.map_err(lost)?;
        let sight = looking::look(&session, &self.prefix, credential).await.map_err(lost)?;
        let intended = query.intended();
        let planned = self.fit(intended.issued).unwrap_or(intended.issued);
        let (evidence, window) = match sight {
            Sight::UnderWay => return Err(unknown(code!("mint_under_way"))),
            Sight::Nothing => return Ok(Observed::Gone),
            Sight::Prepared => (None, planned),
            Sight::Role(seen) => {
                let group = self.groups.of(&intended.scope).map(RoleName::as_str);
                let unaltered = seen.plain && seen.groups.iter().map(String::as_str).eq(group);
                let evidence = seen.reason.filter(|_| unaltered).map(|reason| reason.evidence);
                (evidence, looking::window_of(&seen, planned))
            }
        };
        // What is not ready yet, has lost its comment, or may do something else than it was made for, is not recognised.
        let evidence = evidence.unwrap_or(LeafHash::from_bytes([0; 32]));
        self.descriptor(credential, evidence, &intended.subject, window)
            .map(|descriptor| Observed::Exists(Box::new(descriptor)))
            .ok_or(unknown(code!("not_encodable")))
    }

    async fn list(&self, since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        let lost = |trouble: Trouble| ObserveError::Unknown { cause: trouble.code() };
        let session = self.target.session(LOOKER).await.map_err(lost)?;
        looking::list(&session, &self.prefix, since, after).await.map_err(lost)
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        let orphan =
            self.prefix.credential(authorization.name().as_str()).filter(|_| *authorization.issuer() == self.name);
        let stays = code!("role_disabled_owns_objects");
        match orphan {
            Some(credential) => match self.end(credential).await? {
                // It opens nothing, but it is there, and is found again.
                RevokeOutcome::Revoked { finding } if finding == stays => Err(RevokeError::Failed { cause: stays }),
                outcome => Ok(outcome),
            },
            None => Err(RevokeError::Refused { cause: code!("other_credential") }),
        }
    }
}

impl fmt::Debug for PostgresIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresIssuer")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("groups", &self.groups)
            .field("prepares", &self.prepares)
            .finish_non_exhaustive()
    }
}

/// What trouble while minting means. A name that is taken, or that somebody else is about to take, is a credential that may
/// exist: whoever asked twice finds out.
fn mint_error(trouble: Trouble) -> MintError {
    match trouble {
        Trouble::Lost(_) | Trouble::Exists | Trouble::Waited => MintError::Unknown { cause: trouble.code() },
        other => MintError::Failed { cause: other.code() },
    }
}
