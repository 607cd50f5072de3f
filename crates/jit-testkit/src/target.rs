//! An issuer with a target in memory, which behaves as badly as its test demands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jit_core::{
    Code, CrashClass, CredentialDescriptor, CredentialId, ExternalDigest, ExternalId, IssuerCapabilities, IssuerName,
    Recorded, Timestamp, Window, code,
};
use jit_issuer::{
    CredentialIssuer, Cursor, Found, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError,
    Observed, OrphanAuthorization, PlanRefused, Prepared, ReconcileQuery, RevokeAuthorization, RevokeError,
    RevokeOutcome,
};
use zeroize::Zeroizing;

/// Where trouble happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// While minting or preparing.
    Mint,
    /// While committing.
    Commit,
    /// While abandoning.
    Abandon,
    /// While taking back.
    Revoke,
    /// While looking.
    Reconcile,
    /// While ending an orphan.
    EndOrphan,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The target did not act, and said so.
    Failed,
    /// The target did not act, and its answer was lost.
    LostBefore,
    /// The target acted, and its answer was lost.
    LostAfter,
    /// The target acted and never answers.
    Hangs,
}

/// A credential at the target.
#[derive(Debug, Clone)]
struct Held {
    descriptor: CredentialDescriptor,
    works: bool,
    dead: bool,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<CredentialId, Held>,
    /// What stands there under a name alone, that nobody here made.
    planted: BTreeSet<ExternalId>,
    /// The memberships of a shared target, by name.
    members: BTreeSet<ExternalId>,
    troubles: BTreeMap<Step, (Trouble, u32)>,
}

impl State {
    /// Whether what a credential stands for is there.
    fn lives(&self, held: &Held, shared: bool) -> bool {
        !held.dead && (!shared || self.members.contains(&held.descriptor.serial))
    }
}

/// A stateful target: it can be listed, its credentials taken back. Every credential has the secret it is told to have.
#[derive(Debug)]
pub struct MemoryTarget {
    name: IssuerName,
    secret: Option<Vec<u8>>,
    prepares: bool,
    shared: bool,
    own_end: bool,
    twist: Option<fn(&mut CredentialDescriptor)>,
    state: Mutex<State>,
}

impl MemoryTarget {
    /// A target named `memory`, without two-step mint, whose secrets are sixteen letters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: IssuerName::new("memory").expect("a name"),
            secret: Some(b"abcdefghijklmnop".to_vec()),
            prepares: false,
            shared: false,
            own_end: true,
            twist: None,
            state: Mutex::default(),
        }
    }

    /// Under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = IssuerName::new(name).expect("a name");
        self
    }

    /// With this secret, or without any.
    #[must_use]
    pub fn with_secret(mut self, secret: Option<&[u8]>) -> Self {
        self.secret = secret.map(<[u8]>::to_vec);
        self
    }

    /// With two-step mint.
    #[must_use]
    pub fn preparing(mut self) -> Self {
        self.prepares = true;
        self
    }

    /// Whose credentials have no secret and stand for a membership of the recipient in what the scope names: one state for all
    /// grants of the same access, without an end of its own.
    #[must_use]
    pub fn shared(mut self) -> Self {
        (self.shared, self.own_end, self.secret) = (true, false, None);
        self
    }

    /// Whose credentials have no end of their own.
    #[must_use]
    pub fn without_expiry(mut self) -> Self {
        self.own_end = false;
        self
    }

    /// Which mints something else than it was authorised to.
    #[must_use]
    pub fn twisted(mut self, twist: fn(&mut CredentialDescriptor)) -> Self {
        self.twist = Some(twist);
        self
    }

    /// Makes trouble at the next call of this step, once.
    pub fn trouble(&self, step: Step, trouble: Trouble) {
        self.troubles(step, trouble, 1);
    }

    /// Makes trouble at the next `times` calls of this step.
    pub fn troubles(&self, step: Step, trouble: Trouble, times: u32) {
        self.state().troubles.insert(step, (trouble, times));
    }

    /// Removes a credential behind the issuer's back.
    pub fn tamper_remove(&self, id: CredentialId) {
        let mut state = self.state();
        let held = state.held.get_mut(&id).expect("a credential");
        held.dead = true;
        let serial = held.descriptor.serial.clone();
        state.members.remove(&serial);
    }

    /// Alters a credential behind the issuer's back.
    pub fn tamper_alter(&self, id: CredentialId, alter: fn(&mut CredentialDescriptor)) {
        alter(&mut self.state().held.get_mut(&id).expect("a credential").descriptor);
    }

    /// Puts a credential back that was taken back.
    pub fn revive(&self, id: CredentialId) {
        self.state().held.get_mut(&id).expect("a credential").dead = false;
    }

    /// Puts something there that looks like ours, under a name alone.
    pub fn plant(&self, name: &str) {
        self.state().planted.insert(ExternalId::new(name).expect("a name"));
    }

    /// Puts a copy of a credential there under an id of its own, as a mint that was answered twice leaves it.
    pub fn plant_copy(&self, of: CredentialId, id: CredentialId) {
        let mut state = self.state();
        let mut copy = state.held.get(&of).expect("a credential").clone();
        copy.descriptor.id = id;
        copy.descriptor.serial = ExternalId::new(format!("role_{}", id.as_uuid().simple())).expect("a serial");
        state.held.insert(id, copy);
    }

    /// The names that stand there and work: of credentials, or of memberships.
    #[must_use]
    pub fn names(&self) -> BTreeSet<ExternalId> {
        let state = self.state();
        let held = state.held.values().filter(|h| h.works && state.lives(h, self.shared));
        held.map(|h| h.descriptor.serial.clone()).chain(state.planted.iter().cloned()).collect()
    }

    /// The credentials that work now.
    #[must_use]
    pub fn working(&self) -> Vec<CredentialId> {
        let state = self.state();
        state.held.iter().filter(|(_, h)| h.works && state.lives(h, self.shared)).map(|(id, _)| *id).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts at the target, as far as the trouble of this step lets it, and answers, if it does.
    async fn act<T>(
        &self,
        step: Step,
        failed: fn(Code) -> T,
        unknown: fn(Code) -> T,
        act: impl FnOnce(&mut State) + Send,
    ) -> Result<(), T> {
        let trouble = {
            let mut state = self.state();
            let trouble = state.troubles.get_mut(&step).filter(|(_, times)| *times > 0).map(|(trouble, times)| {
                *times -= 1;
                *trouble
            });
            if matches!(trouble, None | Some(Trouble::LostAfter | Trouble::Hangs)) {
                act(&mut state);
            }
            trouble
        };
        match trouble {
            None => Ok(()),
            Some(Trouble::Failed) => Err(failed(code!("told_to_fail"))),
            Some(Trouble::LostBefore | Trouble::LostAfter) => Err(unknown(code!("answer_lost"))),
            Some(Trouble::Hangs) => std::future::pending().await,
        }
    }
}

impl Default for MemoryTarget {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl CredentialIssuer for MemoryTarget {
    fn name(&self) -> &IssuerName {
        &self.name
    }

    fn capabilities(&self) -> IssuerCapabilities {
        IssuerCapabilities {
            class: if self.shared { CrashClass::RemoteShared } else { CrashClass::RemoteStateful },
            prepares: self.prepares,
            can_revoke: true,
            can_confirm: true,
            native_expiry: self.own_end,
            idempotent_mint: true,
            cuts_sessions: true,
            leeway_s: 0,
            min_ttl_s: 1,
            max_ttl_s: 86_400,
        }
    }

    fn fit(&self, window: Window) -> Option<Window> {
        window.shortened_to(std::time::Duration::from_secs(86_400))
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        if plan.holder_key().is_some() {
            return Err(PlanRefused { cause: code!("cannot_bind") });
        }
        self.fit(plan.window()).map(|_| ()).ok_or(PlanRefused { cause: code!("window_not_expressible") })
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        if *authorization.issuer() != self.name {
            return Err(MintError::Refused { cause: code!("other_issuer_intended") });
        }
        if authorization.holder_key().is_some() {
            return Err(MintError::Refused { cause: code!("cannot_bind") });
        }
        let id = authorization.credential();
        let name = if self.shared {
            let scope = authorization.scope().to_string();
            format!("{}#{}", scope.replace(['\n', ' '], ","), authorization.subject())
        } else {
            format!("role_{}", id.as_uuid().simple())
        };
        let mut descriptor = CredentialDescriptor {
            id,
            issuer: self.name.clone(),
            fingerprint: ExternalDigest::from_bytes([0xfe; 32]),
            serial: ExternalId::new(name).expect("a serial"),
            subject: authorization.subject().clone(),
            window: self.fit(authorization.issued()).ok_or(MintError::Refused { cause: code!("window") })?,
            capabilities: self.capabilities(),
        };
        if let Some(twist) = self.twist {
            twist(&mut descriptor);
        }
        let held = Held { descriptor: descriptor.clone(), works: !self.prepares, dead: false };
        self.act(Step::Mint, mint_failed, mint_unknown, |state| {
            if self.shared {
                state.members.insert(held.descriptor.serial.clone());
            }
            state.held.insert(id, held);
        })
        .await?;
        let secret = self.secret.clone().map(|s| authorization.seal(Zeroizing::new(s)).expect("a secret"));
        Ok(if self.prepares {
            Minting::Prepared(authorization.prepare(descriptor, secret))
        } else {
            Minting::Done(Minted { descriptor, secret })
        })
    }

    async fn commit(&self, prepared: Prepared, recorded: &Recorded) -> Result<Minted, MintError> {
        let minted = prepared
            .authorized(recorded)
            .map_err(|_| MintError::Refused { cause: code!("not_recorded_as_prepared") })?;
        let id = minted.descriptor.id;
        self.act(Step::Commit, mint_failed, mint_unknown, |state| {
            state.held.get_mut(&id).expect("a prepared credential").works = true;
        })
        .await?;
        Ok(minted)
    }

    async fn abandon(&self, prepared: Prepared) -> Result<(), MintError> {
        let id = prepared.descriptor().id;
        self.act(Step::Abandon, mint_failed, mint_unknown, |state| {
            state.held.remove(&id);
        })
        .await
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        let id = descriptor.id;
        if authorization.credential() != id || descriptor.issuer != self.name {
            return Err(RevokeError::Refused { cause: code!("other_credential") });
        }
        let mut lived = false;
        let failed = |cause| RevokeError::Failed { cause };
        let unknown = |cause| RevokeError::Unknown { cause };
        self.act(Step::Revoke, failed, unknown, |state| {
            let members = &mut state.members;
            if let Some(held) = state.held.get_mut(&id) {
                let member = members.remove(&held.descriptor.serial);
                lived = if self.shared { member } else { !held.dead };
                held.dead = true;
            }
        })
        .await?;
        Ok(if lived { RevokeOutcome::Revoked { finding: code!("removed") } } else { RevokeOutcome::AlreadyGone })
    }

    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let unknown = |cause| ObserveError::Unknown { cause };
        self.act(Step::Reconcile, unknown, unknown, |_| {}).await?;
        let state = self.state();
        Ok(match state.held.get(&query.credential()) {
            None => Observed::NeverExisted,
            Some(held) if !state.lives(held, self.shared) => Observed::Gone,
            Some(held) => Observed::Exists(Box::new(held.descriptor.clone())),
        })
    }

    async fn list(&self, since: Timestamp, _after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        let state = self.state();
        let by_name = |serial: &ExternalId| Found { serial: serial.clone(), credential: None };
        let live = state.held.iter().filter(|(_, h)| !h.dead && h.descriptor.window.start() >= since);
        let mut found: Vec<Found> = if self.shared {
            state.members.iter().map(by_name).collect()
        } else {
            live.map(|(id, h)| Found { serial: h.descriptor.serial.clone(), credential: Some(*id) }).collect()
        };
        found.extend(state.planted.iter().map(by_name));
        Ok(FoundPage { found, next: None })
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        if *authorization.issuer() != self.name {
            return Err(RevokeError::Refused { cause: code!("other_issuer") });
        }
        let mut lived = false;
        let failed = |cause| RevokeError::Failed { cause };
        let unknown = |cause| RevokeError::Unknown { cause };
        self.act(Step::EndOrphan, failed, unknown, |state| {
            lived = state.planted.remove(authorization.name()) | state.members.remove(authorization.name());
            for held in state.held.values_mut().filter(|h| h.descriptor.serial == *authorization.name()) {
                lived |= !held.dead;
                held.dead = true;
            }
        })
        .await?;
        Ok(if lived { RevokeOutcome::Revoked { finding: code!("removed") } } else { RevokeOutcome::AlreadyGone })
    }
}

fn mint_failed(cause: Code) -> MintError {
    MintError::Failed { cause }
}

fn mint_unknown(cause: Code) -> MintError {
    MintError::Unknown { cause }
}
