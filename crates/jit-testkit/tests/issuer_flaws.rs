//! The conformance suite of issuers passes what is right and catches each mistake, by the case that is there for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jit_core::*;
use jit_issuer::*;
use jit_testkit::{
    MemoryTarget,
    conformance::issuer::{IssuerFactory, cases, run_all, run_case},
};

/// What an issuer gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    NonePreparing,
    CapabilitiesChange,
    FitsBeyond,
    FitsForEver,
    FitsNotAgain,
    AnotherSubject,
    LongerLife,
    AnotherId,
    OneNameForAll,
    MintsForOthers,
    ShowsSecret,
    GuessableSecret,
    MintsNothing,
    OneAtATime,
    PreparesWithoutSayingSo,
    PreparedWorks,
    CommitsByAnyRecord,
    AbandonsNothing,
    RevokesNothing,
    SaysItCannot,
    SecondRevocationFails,
    RevokesInMemory,
    RevokesAnything,
    RevokesOfOthers,
    RevokesAll,
    FindsNothing,
    FindsAnotherName,
    FindsWhatNeverWas,
    FindsTheDead,
    ListsNothing,
    ListsTheDead,
    ListsTwice,
    LookingMints,
    PreflightRefuses,
    DroppedMintIsHidden,
    DroppedCommitIsHidden,
    DroppedRevocationSticks,
}
use Flaw::*;

/// Each mistake with the case that is there for it.
const CAUGHT: [(Flaw, &str); 36] = [
    (CapabilitiesChange, "name_and_capabilities_stay"),
    (FitsBeyond, "what_fits_lies_within"),
    (FitsForEver, "what_fits_lies_within"),
    (FitsNotAgain, "what_fits_lies_within"),
    (AnotherSubject, "a_credential_is_as_authorised"),
    (LongerLife, "a_credential_is_as_authorised"),
    (AnotherId, "a_credential_is_as_authorised"),
    (OneNameForAll, "every_credential_has_a_name_of_its_own"),
    (MintsForOthers, "what_another_issuer_may_mint_is_refused"),
    (ShowsSecret, "a_secret_is_sealed_and_shown_nowhere"),
    (GuessableSecret, "a_secret_is_sealed_and_shown_nowhere"),
    (MintsNothing, "a_released_credential_opens_its_target"),
    (OneAtATime, "many_are_minted_at_once"),
    (PreparesWithoutSayingSo, "only_who_prepares_says_so"),
    (PreparedWorks, "what_is_prepared_opens_nothing"),
    (CommitsByAnyRecord, "a_commit_needs_its_own_record"),
    (AbandonsNothing, "what_is_abandoned_is_gone"),
    (RevokesNothing, "what_is_taken_back_is_dead"),
    (SaysItCannot, "what_is_taken_back_is_dead"),
    (RevokesAll, "what_is_taken_back_is_dead"),
    (SecondRevocationFails, "taking_back_twice_is_no_error"),
    (RevokesInMemory, "another_process_takes_back"),
    (RevokesAnything, "an_authorisation_is_for_one_credential"),
    (RevokesOfOthers, "what_another_issuer_minted_is_refused"),
    (FindsNothing, "a_credential_is_found_by_its_id"),
    (FindsAnotherName, "a_credential_is_found_by_its_id"),
    (FindsWhatNeverWas, "what_was_never_minted_is_not_found"),
    (FindsTheDead, "what_is_dead_is_not_found_alive"),
    (ListsNothing, "a_listing_has_what_lives"),
    (ListsTheDead, "a_listing_has_what_lives"),
    (ListsTwice, "a_listing_has_what_lives"),
    (LookingMints, "looking_changes_nothing"),
    (PreflightRefuses, "looking_changes_nothing"),
    (DroppedMintIsHidden, "a_dropped_mint_leaves_all_or_nothing"),
    (DroppedCommitIsHidden, "a_dropped_commit_leaves_all_or_nothing"),
    (DroppedRevocationSticks, "a_dropped_revocation_is_made_again"),
];

/// A target, and what an issuer of it did wrong there.
#[derive(Clone)]
struct Target {
    flaw: Flaw,
    inner: Arc<MemoryTarget>,
    /// Credentials that work although the inner target does not say so.
    hidden: Arc<Mutex<BTreeSet<CredentialId>>>,
    minting: Arc<AtomicU32>,
}

/// An issuer of this target, as one process has it.
struct Flawed {
    target: Target,
    calls: AtomicU32,
    minted: Mutex<BTreeSet<CredentialId>>,
}

#[async_trait]
impl IssuerFactory for Flaw {
    type Target = Target;

    async fn fresh(&self) -> Target {
        let target = MemoryTarget::new();
        let target = match self {
            NonePreparing
            | PreparedWorks
            | CommitsByAnyRecord
            | AbandonsNothing
            | DroppedCommitIsHidden
            | PreparesWithoutSayingSo => target.preparing(),
            GuessableSecret => target.with_secret(Some(b"1234")),
            AnotherSubject => {
                target.twisted(|d| d.subject = PrincipalId::Identity(Identity::new("i", "other").unwrap()))
            }
            LongerLife => target.twisted(|d| {
                d.window =
                    Window::new(d.window.start(), d.window.end().saturating_add(Duration::from_secs(1))).unwrap();
            }),
            AnotherId => target.twisted(|d| d.id = CredentialId::v8([3; 16])),
            OneNameForAll => target.twisted(|d| d.serial = ExternalId::new("role").unwrap()),
            _ => target,
        };
        Target { flaw: *self, inner: Arc::new(target), hidden: Arc::default(), minting: Arc::default() }
    }

    async fn issuer(&self, target: &Target) -> Arc<dyn CredentialIssuer> {
        Arc::new(Flawed { target: target.clone(), calls: AtomicU32::new(0), minted: Mutex::default() })
    }

    async fn opens(&self, target: &Target, credential: &CredentialDescriptor, _: Option<&[u8]>) -> Option<bool> {
        let hidden = target.hidden.lock().unwrap().contains(&credential.id);
        Some(hidden || target.inner.working().contains(&credential.id))
    }
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.target.flaw == flaw
    }

    fn hide(&self, id: CredentialId) {
        self.target.hidden.lock().unwrap().insert(id);
    }
}

#[async_trait]
impl CredentialIssuer for Flawed {
    fn name(&self) -> &IssuerName {
        self.target.inner.name()
    }

    fn capabilities(&self) -> IssuerCapabilities {
        let mut capabilities = self.target.inner.capabilities();
        if self.is(CapabilitiesChange) {
            capabilities.leeway_s = self.calls.fetch_add(1, Ordering::SeqCst);
        }
        if self.is(PreparesWithoutSayingSo) {
            capabilities.prepares = false;
        }
        capabilities
    }

    fn fit(&self, window: Window) -> Option<Window> {
        let second = Duration::from_secs(1);
        match self.target.flaw {
            FitsBeyond => Window::new(window.start(), window.end().saturating_add(second)).ok(),
            FitsForEver => Some(window),
            FitsNotAgain => {
                self.target.inner.fit(Window::new(window.start().saturating_add(second), window.end()).ok()?)
            }
            _ => self.target.inner.fit(window),
        }
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        if self.is(PreflightRefuses) {
            return Err(PlanRefused { cause: code!("not_today") });
        }
        self.target.inner.preflight(plan).await
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        let id = authorization.credential();
        if self.is(MintsForOthers) && authorization.issuer() != self.name() {
            return Err(MintError::Unknown { cause: code!("whatever") });
        }
        if self.is(OneAtATime) && self.target.minting.fetch_add(1, Ordering::SeqCst) > 0 {
            return Err(MintError::Failed { cause: code!("busy") });
        }
        tokio::task::yield_now().await;
        if self.is(DroppedMintIsHidden) {
            self.hide(id);
            tokio::task::yield_now().await;
            self.target.hidden.lock().unwrap().remove(&id);
        }
        let minting = self.target.inner.mint(authorization).await;
        self.minted.lock().unwrap().insert(id);
        self.target.minting.store(0, Ordering::SeqCst);
        match self.target.flaw {
            PreparedWorks => self.hide(id),
            MintsNothing => {
                let Ok(Minting::Done(minted)) = &minting else { panic!("prepared") };
                let authorization =
                    RevokeAuthorization::store_down(code!("flaw"), Timestamp::EPOCH, &minted.descriptor);
                self.target.inner.revoke(&authorization, &minted.descriptor).await.unwrap();
            }
            ShowsSecret => {
                let Ok(Minting::Done(minted)) = minting else { panic!("prepared") };
                let mut descriptor = minted.descriptor;
                descriptor.serial = ExternalId::new("role abcdefghijklmnop").unwrap();
                return Ok(Minting::Done(Minted { descriptor, secret: minted.secret }));
            }
            _ => {}
        }
        minting
    }

    async fn commit(&self, prepared: Prepared, recorded: &Recorded) -> Result<Minted, MintError> {
        let id = prepared.descriptor().id;
        if self.is(CommitsByAnyRecord) {
            self.hide(id);
        }
        if self.is(DroppedCommitIsHidden) {
            self.hide(id);
            tokio::task::yield_now().await;
            self.target.hidden.lock().unwrap().remove(&id);
        }
        self.target.inner.commit(prepared, recorded).await
    }

    async fn abandon(&self, prepared: Prepared) -> Result<(), MintError> {
        if self.is(AbandonsNothing) {
            return Ok(());
        }
        self.target.inner.abandon(prepared).await
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        let removed = RevokeOutcome::Revoked { finding: code!("removed") };
        let inner = &self.target.inner;
        let of = |descriptor: &CredentialDescriptor| {
            RevokeAuthorization::store_down(code!("flaw"), Timestamp::EPOCH, descriptor)
        };
        match self.target.flaw {
            RevokesNothing => return Ok(removed),
            SaysItCannot => return Ok(RevokeOutcome::CannotRevoke { until: descriptor.dies_at() }),
            RevokesInMemory if !self.minted.lock().unwrap().contains(&descriptor.id) => {
                return Ok(RevokeOutcome::AlreadyGone);
            }
            RevokesAnything => return inner.revoke(&of(descriptor), descriptor).await,
            RevokesOfOthers => {
                let own = CredentialDescriptor { issuer: self.name().clone(), ..descriptor.clone() };
                return inner.revoke(&of(&own), &own).await;
            }
            RevokesAll => {
                for id in inner.working() {
                    let other = CredentialDescriptor { id, ..descriptor.clone() };
                    inner.revoke(&of(&other), &other).await?;
                }
                return Ok(removed);
            }
            SecondRevocationFails if !inner.working().contains(&descriptor.id) => {
                return Err(RevokeError::Failed { cause: code!("not_there") });
            }
            DroppedRevocationSticks => {
                let begun = self.target.minting.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if begun > 0 {
                    return Ok(RevokeOutcome::AlreadyGone);
                }
                self.target.minting.store(0, Ordering::SeqCst);
            }
            _ => tokio::task::yield_now().await,
        }
        inner.revoke(authorization, descriptor).await
    }

    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        let found = self.target.inner.reconcile(query).await?;
        let live = || CredentialDescriptor {
            id: query.credential(),
            issuer: self.name().clone(),
            fingerprint: ExternalDigest::from_bytes([0; 32]),
            serial: ExternalId::new("role").unwrap(),
            subject: query.intended().subject.clone(),
            window: query.intended().issued,
            capabilities: self.capabilities(),
        };
        Ok(match (self.target.flaw, found) {
            (FindsNothing, _) => Observed::NeverExisted,
            (FindsAnotherName, Observed::Exists(_)) => Observed::Exists(Box::new(live())),
            (FindsWhatNeverWas, Observed::NeverExisted) => Observed::Exists(Box::new(live())),
            (FindsTheDead, Observed::Gone) => Observed::Exists(Box::new(live())),
            (_, found) => found,
        })
    }

    async fn list(&self, since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        let mut page = self.target.inner.list(since, after).await?;
        let extra = |id| Found { serial: ExternalId::new("role").unwrap(), credential: Some(id) };
        match self.target.flaw {
            ListsNothing => page.found.clear(),
            ListsTheDead => page.found.push(extra(CredentialId::v8([9; 16]))),
            ListsTwice => page.found.extend(page.found.first().cloned()),
            LookingMints => {
                let called = self.calls.fetch_add(1, Ordering::SeqCst);
                page.found.push(extra(CredentialId::v8([called as u8; 16])));
            }
            _ => {}
        }
        Ok(page)
    }
}

#[tokio::test]
async fn what_is_right_passes() {
    run_all(Flaw::None).await.unwrap();
    run_all(Flaw::NonePreparing).await.unwrap();
}

#[tokio::test]
async fn each_mistake_is_caught_by_its_case() {
    let mut passed = Vec::new();
    for (flaw, case) in CAUGHT {
        match run_case(flaw, case).await {
            Ok(()) => passed.push((flaw, case)),
            Err(failure) => assert_eq!(failure.case, case),
        }
    }
    assert_eq!(passed, [], "mistakes that were not seen");
}

#[test]
fn every_point_has_a_case_and_every_case_a_mistake() {
    let tested: BTreeSet<&str> = cases().iter().flat_map(|case| case.contract().split(", ")).collect();
    // 6, that a lost answer is called unknown, needs a target that loses one; 11, that no clock is read, cannot be seen.
    for point in ["1", "2", "3", "4", "5", "7", "8", "9", "10"] {
        assert!(tested.contains(point), "no case for point {point}");
    }
    let caught: BTreeSet<&str> = CAUGHT.iter().map(|(_, case)| *case).collect();
    for case in cases() {
        assert!(caught.contains(case.name()), "no mistake shows that {} can fail", case.name());
    }
}
