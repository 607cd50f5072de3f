//! Memberships in groups of an LDAP directory: somebody's own entry becomes a member of a managed group for the window of a grant.
//!
//! | where | what |
//! |---|---|
//! | `member` or `uniqueMember` of the group | the distinguished name of the person or service |
//! | `description` of the group | a mark for each grant that has it: `jit:<issuer> <credential> <granted or already_member> <reason> <member>`, with [`CredentialReason`] |
//!
//! Member and mark are added, and deleted, in one modification, which a directory makes in all or in nothing (RFC 4511 section 4.6).
//! There is no secret. The serial of the descriptor is `<entryUUID of the group>/<member>`.
//!
//! # What was there before
//!
//! A member that is one already is left one: the serial is `already_member:<entryUUID>/<member>`, the grant gives nothing, and its end
//! takes nothing but the mark (finding `already_member`).
//!
//! # Endings
//!
//! The value is deleted, and looked for afterwards. What applications made of it before, a session or a cache of groups, is theirs:
//! the capability `cuts_sessions` is false. A group that was renamed or deleted is not looked for elsewhere; taking back fails then, as
//! `no_such_entry` or `group_is_another`, until somebody sees to it.
//!
//! # Unknown outcomes
//!
//! A modification whose answer did not come is unknown. [`reconcile`](crate::CredentialIssuer::reconcile) first has the directory
//! refuse a modification of the same group, which it does after those that came before, and then looks. One that a network still
//! holds back at that time is not seen: the broker asks only after its pause for unknown mints.

mod ber;
mod config;
mod dn;
mod group;
mod message;
mod session;
mod setup;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jit_core::{
    Code, Condition, CrashClass, CredentialDescriptor, CredentialId, IssuerCapabilities, IssuerName, LeafHash,
    PrincipalId, Scope, Seconds, Timestamp, Window, code,
};

use crate::{
    CredentialIssuer, CredentialReason, Cursor, Found, FoundPage, MintAuthorization, MintError, MintPlan, Minted,
    Minting, ObserveError, Observed, OrphanAuthorization, PlanRefused, ReconcileQuery, RevokeAuthorization,
    RevokeError, RevokeOutcome,
    membership::{self, Joining, Leaving, Mark, MembershipName, Origin, Standing, Strays},
};
pub use config::{EntryUuid, EntryUuidError, GroupShape, ManagedGroup, ManagedGroups, MemberNames};
pub use dn::{Dn, DnError};
use group::{GroupEntry, label, write_mark};
use message::{Act, Change};
pub use session::{LdapSecurity, LdapTarget};
use session::{Session, Trouble};
pub use setup::LdapIssuerError;

/// The longest membership unless configured otherwise, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 8 * 3600;

/// How often a change is tried while others change the same group.
const ROUNDS: usize = 8;

/// Classes of entries whose membership would be that of others.
const GROUPS: [&str; 4] = ["groupofnames", "groupofuniquenames", "group", "posixgroup"];

/// Gives and takes membership in groups of one directory.
///
/// ```no_run
/// # async fn example(tls: std::sync::Arc<rustls::ClientConfig>, password: zeroize::Zeroizing<String>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use jit_core::{Action, Issuer, IssuerName, Scope};
/// use jit_issuer::ldap::{
///     GroupShape, LdapGroupIssuer, LdapSecurity, LdapTarget, ManagedGroup, ManagedGroups, MemberNames,
/// };
///
/// let target = LdapTarget::new(
///     "ldap.example.org",
///     389,
///     LdapSecurity::StartTls(tls),
///     "cn=jit,ou=services,dc=example,dc=org".parse()?,
///     password,
/// );
/// let read = Scope::new("wiki:prod/finance".parse()?, [Action::new("read")?])?;
/// let readers = ManagedGroup::new(
///     "cn=finance-readers,ou=groups,dc=example,dc=org".parse()?,
///     "5d7fbd2e-5cbb-103f-8b2b-1f6d1c6b5c3a".parse()?,
/// );
/// let issuer = LdapGroupIssuer::connect(
///     IssuerName::new("staff-groups")?,
///     target,
///     ManagedGroups::new().with(read, readers),
///     GroupShape::group_of_names("cn=nobody,dc=example,dc=org".parse()?),
///     MemberNames::new().of_issuer(Issuer::new("idp.example.org")?, "uid", "ou=people,dc=example,dc=org".parse()?)?,
/// )
/// .await?;
/// # Ok(())
/// # }
/// ```
pub struct LdapGroupIssuer {
    name: IssuerName,
    target: LdapTarget,
    groups: ManagedGroups,
    shape: GroupShape,
    members: MemberNames,
    /// By their labels.
    standing: Vec<String>,
    strays: Strays,
    max_ttl_s: u32,
}

/// A group and the label of a member.
struct Place<'a> {
    group: &'a ManagedGroup,
    label: String,
}

impl LdapGroupIssuer {
    /// An issuer known to records as `name`, after it was found out that the groups are those that were configured, have their
    /// placeholder, and may be changed. Strays are reported, and memberships last for at most [`DEFAULT_MAX_TTL_S`].
    ///
    /// # Errors
    /// [`LdapIssuerError`] if memberships could not be given there, or not be taken back.
    pub async fn connect(
        name: IssuerName,
        target: LdapTarget,
        groups: ManagedGroups,
        shape: GroupShape,
        members: MemberNames,
    ) -> Result<Self, LdapIssuerError> {
        setup::examine(&target, &groups, &shape, &name).await?;
        let standing = shape.placeholder.iter().map(label).collect();
        let (strays, max_ttl_s) = (Strays::default(), DEFAULT_MAX_TTL_S);
        Ok(Self { name, target, groups, shape, members, standing, strays, max_ttl_s })
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

    /// Lets this entry stand in the groups without a record. The placeholder may anyway.
    #[must_use]
    pub fn with_standing(mut self, entry: &Dn) -> Self {
        self.standing.push(label(entry));
        self
    }

    /// The group and the entry that a grant is about, or the code of why it cannot be served.
    fn place(&self, subject: &PrincipalId, scope: &Scope, conditions: &[Condition]) -> Result<(Place<'_>, Dn), Code> {
        membership::enforceable(conditions)?;
        let group = self.groups.of(scope).ok_or(code!("no_group_for_scope"))?;
        let member = self.members.of(subject).ok_or(code!("no_entry_for_subject"))?;
        // In `uniqueMember` what follows a `#` is not of the name (RFC 4517 section 3.3.21).
        if self.shape.members == "uniqueMember" && member.to_string().contains('#') {
            return Err(code!("member_not_expressible"));
        }
        Ok((Place { group, label: label(&member) }, member))
    }

    /// Whether the entry is one that a membership can be given to, or the code of why not.
    async fn suits(&self, session: &mut Session, member: &Dn) -> Result<Result<(), Code>, Trouble> {
        let entry = match session.read(&member.to_string(), &["objectClass"]).await {
            Err(Trouble::NoEntry) => return Ok(Err(code!("no_such_member"))),
            entry => entry?,
        };
        let classes = entry.get("objectclass").map(Vec::as_slice).unwrap_or_default();
        let is_group = |class: &Vec<u8>| GROUPS.iter().any(|group| class.eq_ignore_ascii_case(group.as_bytes()));
        Ok(if classes.iter().any(is_group) { Err(code!("member_is_a_group")) } else { Ok(()) })
    }

    async fn look(&self, session: &mut Session, group: &ManagedGroup) -> Result<GroupEntry, Trouble> {
        GroupEntry::read(session, group, &self.shape, &self.name).await
    }

    /// Makes a member, or leaves a mark on one, and says whose the membership is.
    async fn join(
        &self,
        session: &mut Session,
        place: &Place<'_>,
        member: &Dn,
        (credential, reason): (CredentialId, CredentialReason),
    ) -> Result<Origin, Trouble> {
        for _ in 0..ROUNDS {
            let entry = self.look(session, place.group).await?;
            let (origin, mut changes) = match entry.standing(&place.label).joining(credential) {
                Joining::Done(origin) => return Ok(origin),
                Joining::Mark(origin) => (origin, Vec::new()),
                Joining::Add => {
                    let mut changes = entry.unmarking(&place.label, &self.shape);
                    changes.push(Change::new(Act::Add, self.shape.members, member.to_string()));
                    (Origin::Granted, changes)
                }
            };
            let mark = Mark { credential, origin, reason: Some(reason) };
            let mark = write_mark(&self.name, &mark, reason, &place.label);
            changes.push(Change::new(Act::Add, &self.shape.marks, mark));
            match session.modify(&place.group.dn.to_string(), &changes).await {
                // It is told from what it was by looking again.
                Ok(()) => {
                    let seen = self.look(session, place.group).await.map_err(|error| Trouble::Lost(error.code()))?;
                    let standing = seen.standing(&place.label);
                    let is_there = standing.mark(credential).is_some();
                    return if is_there {
                        Ok(standing.origin())
                    } else {
                        Err(Trouble::Lost(code!("changed_meanwhile")))
                    };
                }
                // Somebody changed the group meanwhile.
                Err(Trouble::Absent | Trouble::Exists) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::Refused(code!("contended")))
    }

    /// Takes away what is named, as far as `leaving` says of what stands there, and looks afterwards.
    async fn end(
        &self,
        name: &MembershipName,
        leaving: impl Fn(&Standing) -> Result<Leaving, RevokeError> + Send + Sync,
    ) -> Result<RevokeOutcome, RevokeError> {
        let group = self.groups.named(&name.group).ok_or(RevokeError::Refused { cause: code!("group_not_managed") })?;
        let mut session = self.target.session().await.map_err(revoke_error)?;
        for _ in 0..ROUNDS {
            let entry = self.look(&mut session, group).await.map_err(revoke_error)?;
            let before = entry.standing(&name.member);
            let leaving = leaving(&before)?;
            let changes = match leaving {
                Leaving::Nothing => Vec::new(),
                Leaving::Unmark => entry.unmarking(&name.member, &self.shape),
                Leaving::Remove => entry.removing(&name.member, &self.shape),
            };
            match self.leave(&mut session, group, changes).await {
                Ok(()) => {}
                // Somebody changed the group meanwhile.
                Err(Trouble::Absent | Trouble::Exists) => continue,
                Err(trouble) => return Err(revoke_error(trouble)),
            }
            if name.origin == Origin::AlreadyMember {
                let finding = code!("already_member");
                return Ok(if before.member { RevokeOutcome::Revoked { finding } } else { RevokeOutcome::AlreadyGone });
            }
            if leaving != Leaving::Remove {
                // It is gone, or it is not what was to be ended.
                return Ok(RevokeOutcome::AlreadyGone);
            }
            let after = self.look(&mut session, group).await.map_err(revoke_error)?;
            if after.standing(&name.member).member {
                return Err(RevokeError::Failed { cause: code!("still_member") });
            }
            return Ok(RevokeOutcome::Revoked { finding: code!("membership_removed") });
        }
        Err(RevokeError::Failed { cause: code!("contended") })
    }

    /// Makes the changes. A group that would be empty, because somebody took the placeholder out, gets it back.
    async fn leave(
        &self,
        session: &mut Session,
        group: &ManagedGroup,
        mut changes: Vec<Change>,
    ) -> Result<(), Trouble> {
        if changes.is_empty() {
            return Ok(());
        }
        let dn = group.dn.to_string();
        match (session.modify(&dn, &changes).await, &self.shape.placeholder) {
            (Err(Trouble::AgainstClass), Some(nobody)) => {
                changes.insert(0, Change::new(Act::Add, self.shape.members, nobody.to_string()));
                session.modify(&dn, &changes).await
            }
            (left, _) => left,
        }
    }

    fn descriptor(
        &self,
        place: &Place<'_>,
        origin: Origin,
        bound: (CredentialId, LeafHash),
        subject: &PrincipalId,
        window: Window,
    ) -> Option<CredentialDescriptor> {
        let name = MembershipName::new(origin, place.group.uuid.to_string(), &place.label);
        membership::descriptor(&self.name, self.capabilities(), &name, bound, subject, window)
    }

    /// The members of a group but those who may stand in it.
    async fn list_group(&self, session: &mut Session, group: &ManagedGroup) -> Result<Vec<Found>, Trouble> {
        let entry = self.look(session, group).await?;
        let mut found = Vec::new();
        for label in entry.members.keys().filter(|label| !self.standing.contains(label)) {
            let standing = entry.standing(label);
            let latest = standing.marks.iter().map(|mark| mark.credential).max();
            let origin = if latest.is_some() { standing.origin() } else { Origin::Granted };
            let serial = MembershipName::new(origin, group.uuid.to_string(), label).serial();
            // Passing over a name that no record can have would hide its bearer.
            let serial = serial.ok_or(Trouble::Refused(code!("member_name_not_printable")))?;
            found.push(Found { serial, credential: latest });
        }
        Ok(found)
    }
}

#[async_trait]
impl CredentialIssuer for LdapGroupIssuer {
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
            // Applications read groups when somebody logs in, or now and then.
            cuts_sessions: false,
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
        let (_, member) = self.place(plan.subject(), plan.scope(), plan.conditions()).map_err(refused)?;
        self.fit(plan.window()).ok_or(refused(code!("window_not_expressible")))?;
        let asking = async { self.suits(&mut self.target.session().await?, &member).await };
        asking.await.map_err(|trouble| refused(trouble.code()))?.map_err(refused)
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let refused = |cause| MintError::Refused { cause };
        authorization.meant_for(self)?;
        authorization.needs_no_binding()?;
        let window = self.fit(authorization.issued()).ok_or(refused(code!("window_not_expressible")))?;
        let (place, member) =
            self.place(authorization.subject(), authorization.scope(), authorization.conditions()).map_err(refused)?;
        let bound = (authorization.credential(), CredentialReason::of(authorization));
        let mut session = self.target.session().await.map_err(mint_error)?;
        self.suits(&mut session, &member).await.map_err(not_minted)?.map_err(refused)?;
        let origin = self.join(&mut session, &place, &member, bound).await.map_err(mint_error)?;
        let bound = (authorization.credential(), authorization.evidence());
        let descriptor = self
            .descriptor(&place, origin, bound, authorization.subject(), window)
            .ok_or(MintError::Unknown { cause: code!("not_encodable") })?;
        Ok(Minting::Done(Minted { descriptor, secret: None }))
    }

    /// The membership is named by the descriptor, and whether it was there before by the descriptor alone: what somebody writes
    /// into the entry keeps nothing from being taken back.
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
        let (place, _) = self.place(&intended.subject, &intended.scope, &[]).map_err(unknown)?;
        let mut session = self.target.session().await.map_err(lost)?;
        setup::wait_for_others(&mut session, place.group, &self.shape).await.map_err(lost)?;
        let standing = self.look(&mut session, place.group).await.map_err(lost)?.standing(&place.label);
        let Some(mark) = standing.mark(credential) else { return Ok(Observed::Gone) };
        // What somebody forged is not recognised.
        let evidence = mark.reason.map_or(LeafHash::from_bytes([0; 32]), |reason| reason.evidence);
        let window = self.fit(intended.issued).unwrap_or(intended.issued);
        self.descriptor(&place, standing.origin(), (credential, evidence), &intended.subject, window)
            .map(|descriptor| Observed::Exists(Box::new(descriptor)))
            .ok_or(unknown(code!("not_encodable")))
    }

    /// Every member of the groups but those who may stand in them, in one page: a directory gives an entry as a whole. A
    /// membership has no date, so `since` keeps nothing back.
    async fn list(&self, _since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        let lost = |trouble: Trouble| ObserveError::Unknown { cause: trouble.code() };
        let mut session = self.target.session().await.map_err(lost)?;
        let mut found = Vec::new();
        for group in self.groups.iter() {
            found.extend(self.list_group(&mut session, group).await.map_err(lost)?);
        }
        found.sort_by(|a, b| a.serial.cmp(&b.serial));
        found.retain(|one| after.is_none_or(|cursor| one.serial > *cursor.mark()));
        Ok(FoundPage { found, next: None })
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        let ours = |name: &MembershipName| {
            *authorization.issuer() == self.name
                && self.groups.named(&name.group).is_some()
                && !self.standing.contains(&name.member)
        };
        let name = MembershipName::parse(authorization.name())
            .filter(ours)
            .ok_or(RevokeError::Refused { cause: code!("other_credential") })?;
        self.end(&name, |standing| standing.clearing(name.origin, self.strays)).await
    }
}

impl fmt::Debug for LdapGroupIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapGroupIssuer")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("groups", &self.groups)
            .field("strays", &self.strays)
            .finish_non_exhaustive()
    }
}

/// What trouble means before anything was changed.
fn not_minted(trouble: Trouble) -> MintError {
    MintError::Failed { cause: trouble.code() }
}

fn mint_error(trouble: Trouble) -> MintError {
    match trouble {
        Trouble::Lost(cause) => MintError::Unknown { cause },
        other => not_minted(other),
    }
}

fn revoke_error(trouble: Trouble) -> RevokeError {
    match trouble {
        Trouble::Lost(cause) => RevokeError::Unknown { cause },
        other => RevokeError::Failed { cause: other.code() },
    }
}
