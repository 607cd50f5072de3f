//! Memberships of a PostgreSQL server: somebody's own login role becomes a member of a prepared role for the window of a grant.
//!
//! | where | what |
//! |---|---|
//! | `pg_auth_members` | the membership: the person's or service's own role in one prepared role, which the configuration gives for the grant's scope |
//! | table `jit.membership` | a mark for each grant that has it: credential, both roles, `granted` or `already_member`, and [`CredentialReason`] |
//!
//! Membership and mark are made, and removed, in one transaction. There is no secret. The serial of the descriptor is
//! `<group>/<member>`; `%u` in `log_line_prefix` shows the member.
//!
//! # What was there before
//!
//! A member that is one already is left one: the serial is `already_member:<group>/<member>`, the grant gives nothing, and its end
//! takes nothing but the mark (finding `already_member`). A server before 16 keeps one membership of two roles, whoever gave it.
//!
//! # Endings
//!
//! `REVOKE`, and looking whether the member is one still. Every statement is checked by the memberships of that moment: a session that
//! used the group's rights by inheritance has lost them at its next statement. A session that did `SET ROLE` before **keeps** the group's
//! rights until it ends: from 16 on memberships are given without that (`SET FALSE`); before, or where that must be certain, see
//! [`cutting_sessions`](PostgresMembershipIssuer::cutting_sessions). Without it the capability `cuts_sessions` is false.

mod listing;
mod member;
mod place;
mod setup;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jit_core::{
    Code, Condition, CrashClass, CredentialDescriptor, CredentialId, IssuerCapabilities, IssuerName, LeafHash,
    PrincipalId, Scope, Seconds, Timestamp, Window, code,
};

use super::{
    DEFAULT_MAX_TTL_S, GroupRoles, PostgresIssuerError, PostgresTarget, RoleName,
    ending::Left,
    looking::under_way,
    mint_error,
    session::{Session, Trouble},
};
use crate::{
    CredentialIssuer, CredentialReason, Cursor, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting,
    ObserveError, Observed, OrphanAuthorization, PlanRefused, ReconcileQuery, RevokeAuthorization, RevokeError,
    RevokeOutcome,
    membership::{self, Leaving, MembershipName, Origin, Strays},
};
pub use member::MemberRoles;
pub use place::MARKS_TABLE;
use place::Place;
pub use setup::PostgresMembershipError;

/// The name of a session that only looks; one that mints is named after its credential.
const LOOKER: &str = "jit-membership";

/// Gives and takes membership in prepared roles of one server.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use jit_core::{Action, Issuer, IssuerName, Scope};
/// use jit_issuer::postgres::{GroupRoles, PostgresTarget, RoleName};
/// use jit_issuer::postgres::membership::{MemberRoles, PostgresMembershipIssuer};
///
/// let read = Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?;
/// let issuer = PostgresMembershipIssuer::connect(
///     IssuerName::new("orders-members")?,
///     PostgresTarget::new("host=db.example.org user=jit_issuer dbname=orders".parse()?),
///     GroupRoles::new().with(read, RoleName::new("orders_reader")?),
///     MemberRoles::new().of_issuer(Issuer::new("idp.example.org")?),
/// )
/// .await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresMembershipIssuer {
    name: IssuerName,
    target: PostgresTarget,
    groups: GroupRoles,
    members: MemberRoles,
    version: i32,
    standing: Vec<String>,
    strays: Strays,
    ends_sessions: bool,
    cuts_sessions: bool,
    max_ttl_s: u32,
}

impl PostgresMembershipIssuer {
    /// An issuer known to records as `name`, after it was found out that the server can be worked on: the groups are prepared
    /// roles, no two scopes have the same, the issuer may give membership in them, and [`MARKS_TABLE`] is there. Strays are
    /// reported, sessions are left alone, and memberships last for at most [`DEFAULT_MAX_TTL_S`].
    ///
    /// # Errors
    /// [`PostgresMembershipError`] if memberships could not be given there, or not be taken back.
    pub async fn connect(
        name: IssuerName,
        target: PostgresTarget,
        groups: GroupRoles,
        members: MemberRoles,
    ) -> Result<Self, PostgresMembershipError> {
        let setup::Found { version, own, ends_sessions } = setup::examine(&target, &groups).await?;
        Ok(Self {
            name,
            target,
            groups,
            members,
            version,
            standing: vec![own],
            strays: Strays::default(),
            ends_sessions,
            cuts_sessions: false,
            max_ttl_s: DEFAULT_MAX_TTL_S,
        })
    }

    /// Lets memberships last for at most this long.
    #[must_use]
    pub fn with_max_ttl(mut self, max: Seconds) -> Self {
        self.max_ttl_s = max.get();
        self
    }

    /// What becomes of members of the groups that no record explains.
    #[must_use]
    pub fn with_strays(mut self, strays: Strays) -> Self {
        self.strays = strays;
        self
    }

    /// Lets this role stand in the groups without a record: whoever administers them. The issuer's own role may anyway.
    #[must_use]
    pub fn with_standing(mut self, role: RoleName) -> Self {
        self.standing.push(role.as_str().to_owned());
        self
    }

    /// Ends every session that the member has open when its membership is taken back, those included that never used it: none is
    /// left that did `SET ROLE` before.
    ///
    /// # Errors
    /// [`PostgresIssuerError::CannotEndSessions`] if the issuer's role may not.
    pub fn cutting_sessions(mut self) -> Result<Self, PostgresMembershipError> {
        if !self.ends_sessions {
            return Err(PostgresIssuerError::CannotEndSessions.into());
        }
        self.cuts_sessions = true;
        Ok(self)
    }

    /// The two roles that a grant is about, or the code of why it cannot be served.
    fn place(
        &self,
        subject: &PrincipalId,
        scope: &Scope,
        conditions: &[Condition],
    ) -> Result<(RoleName, RoleName), Code> {
        membership::enforceable(conditions)?;
        let group = self.groups.of(scope).ok_or(code!("no_role_for_scope"))?;
        let member = self.members.of(subject).ok_or(code!("no_role_for_subject"))?;
        Ok((group.clone(), member))
    }

    fn descriptor(
        &self,
        place: &Place<'_>,
        origin: Origin,
        bound: (CredentialId, LeafHash),
        subject: &PrincipalId,
        window: Window,
    ) -> Option<CredentialDescriptor> {
        let name = MembershipName::new(origin, place.group, place.member);
        membership::descriptor(&self.name, self.capabilities(), &name, bound, subject, window)
    }

    /// Takes away what is named, as far as `leaving` says of what stands there, and looks afterwards.
    async fn end(
        &self,
        name: &MembershipName,
        leaving: impl Fn(&membership::Standing) -> Result<Leaving, RevokeError>,
    ) -> Result<RevokeOutcome, RevokeError> {
        let place = Place { group: &name.group, member: &name.member };
        let session = self.target.session(LOOKER).await.map_err(revoke_error)?;
        place.lock(&session).await.map_err(revoke_error)?;
        let before = place.look(&session).await.map_err(revoke_error)?.standing;
        let leaving = leaving(&before)?;
        place.leave(&session, leaving).await.map_err(revoke_error)?;
        if name.origin == Origin::AlreadyMember {
            let finding = code!("already_member");
            return Ok(if before.member { RevokeOutcome::Revoked { finding } } else { RevokeOutcome::AlreadyGone });
        }
        if leaving == Leaving::Nothing && before.member {
            // It is not what was to be ended.
            return Ok(RevokeOutcome::AlreadyGone);
        }
        let after = place.look(&session).await.map_err(revoke_error)?;
        if after.standing.member {
            return Err(RevokeError::Failed { cause: code!("still_member") });
        }
        let cut = if self.cuts_sessions { place.cut(&session).await.map_err(revoke_error)? } else { Left::None };
        Ok(match (cut, leaving) {
            (Left::Some(sessions_left), _) => RevokeOutcome::Partial { sessions_left },
            (_, Leaving::Remove) if after.has_rights => {
                RevokeOutcome::Revoked { finding: code!("removed_member_through_another_role") }
            }
            (_, Leaving::Remove) => RevokeOutcome::Revoked { finding: code!("membership_removed") },
            (Left::Cut, _) => RevokeOutcome::Revoked { finding: code!("sessions_of_a_former_member_cut") },
            (Left::None, _) => RevokeOutcome::AlreadyGone,
        })
    }
}

/// The name of the session that mints a credential, by which it is seen to be at it.
fn minter(credential: CredentialId) -> String {
    format!("jit-membership:{}", credential.as_uuid().simple())
}

/// What somebody forged or wiped is not recognised.
fn evidence(sight: &place::Sight, credential: CredentialId) -> LeafHash {
    let mark = sight.standing.mark(credential);
    let altered = sight.may_give && sight.standing.origin() == Origin::Granted;
    let reason = mark.and_then(|mark| mark.reason).filter(|_| !altered);
    reason.map_or(LeafHash::from_bytes([0; 32]), |reason| reason.evidence)
}

#[async_trait]
impl CredentialIssuer for PostgresMembershipIssuer {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: CrashClass::RemoteShared,
            prepares: false,
            can_revoke: true,
            can_confirm: true,
            native_expiry: false,
            idempotent_mint: true,
            cuts_sessions: self.cuts_sessions,
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
        let (group, member) = self.place(plan.subject(), plan.scope(), plan.conditions()).map_err(refused)?;
        self.fit(plan.window()).ok_or(refused(code!("window_not_expressible")))?;
        let place = Place { group: group.as_str(), member: member.as_str() };
        let asking = async { place.suits(&self.target.session(LOOKER).await?).await };
        asking.await.map_err(|trouble| refused(trouble.code()))?.map_err(refused)
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let refused = |cause| MintError::Refused { cause };
        authorization.meant_for(self)?;
        authorization.needs_no_binding()?;
        let window = self.fit(authorization.issued()).ok_or(refused(code!("window_not_expressible")))?;
        let (group, member) =
            self.place(authorization.subject(), authorization.scope(), authorization.conditions()).map_err(refused)?;
        let (credential, reason) = (authorization.credential(), CredentialReason::of(authorization));
        let place = Place { group: group.as_str(), member: member.as_str() };
        let session = self.target.session(&minter(credential)).await.map_err(mint_error)?;
        place.lock(&session).await.map_err(mint_error)?;
        place.suits(&session).await.map_err(mint_error)?.map_err(refused)?;
        let origin = place.join(&session, self.version, credential, reason).await.map_err(mint_error)?;
        let descriptor = self
            .descriptor(&place, origin, (credential, authorization.evidence()), authorization.subject(), window)
            .ok_or(MintError::Unknown { cause: code!("not_encodable") })?;
        Ok(Minting::Done(Minted { descriptor, secret: None }))
    }

    /// The membership is named by the descriptor, and whether it was there before by the descriptor alone: what somebody writes
    /// into the table of marks keeps nothing from being taken back.
    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        authorization.meant_for(descriptor, self)?;
        let name = MembershipName::parse(&descriptor.serial)
            .ok_or(RevokeError::Refused { cause: code!("not_the_name_of_a_membership") })?;
        self.end(&name, |standing| Ok(standing.leaving(name.origin))).await
    }

    /// A removed membership leaves no trace: one that is not there is [`Observed::Gone`], whether it ever was or not.
    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let credential = query.credential();
        let unknown = |cause: Code| ObserveError::Unknown { cause };
        let lost = |trouble: Trouble| ObserveError::Unknown { cause: trouble.code() };
        let intended = query.intended();
        let (group, member) = self.place(&intended.subject, &intended.scope, &[]).map_err(unknown)?;
        let place = Place { group: group.as_str(), member: member.as_str() };
        let session: Session = self.target.session(LOOKER).await.map_err(lost)?;
        // It is looked for first: what it has done by the time it is gone, is there.
        let making = under_way(&session, &minter(credential)).await.map_err(lost)?;
        let sight = place.look(&session).await.map_err(lost)?;
        match sight.standing.mark(credential) {
            Some(_) => {}
            None if making => return Err(unknown(code!("mint_under_way"))),
            None => return Ok(Observed::Gone),
        }
        let window = self.fit(intended.issued).unwrap_or(intended.issued);
        let bound = (credential, evidence(&sight, credential));
        self.descriptor(&place, sight.standing.origin(), bound, &intended.subject, window)
            .map(|descriptor| Observed::Exists(Box::new(descriptor)))
            .ok_or(unknown(code!("not_encodable")))
    }

    /// Every member of the groups but those who may stand in them. A membership has no date, so `since` keeps nothing back.
    async fn list(&self, _since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        let lost = |trouble: Trouble| ObserveError::Unknown { cause: trouble.code() };
        let session = self.target.session(LOOKER).await.map_err(lost)?;
        let groups: Vec<&str> = self.groups.roles().map(RoleName::as_str).collect();
        let standing: Vec<&str> = self.standing.iter().map(String::as_str).collect();
        listing::list(&session, &groups, &standing, after).await.map_err(lost)
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        let ours = |name: &MembershipName| {
            *authorization.issuer() == self.name
                && self.groups.roles().any(|group| group.as_str() == name.group)
                && !self.standing.contains(&name.member)
        };
        let name = MembershipName::parse(authorization.name())
            .filter(ours)
            .ok_or(RevokeError::Refused { cause: code!("other_credential") })?;
        self.end(&name, |standing| standing.clearing(name.origin, self.strays)).await
    }
}

impl fmt::Debug for PostgresMembershipIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresMembershipIssuer")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("groups", &self.groups)
            .field("strays", &self.strays)
            .finish_non_exhaustive()
    }
}

fn revoke_error(trouble: Trouble) -> RevokeError {
    match trouble {
        Trouble::Lost(cause) => RevokeError::Unknown { cause },
        other => RevokeError::Failed { cause: other.code() },
    }
}
