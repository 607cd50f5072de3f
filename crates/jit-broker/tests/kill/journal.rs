//! What a target was made to do, on disk before it was done.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, CredentialId, IssuerCapabilities, IssuerName, Recorded, Timestamp, Window, code};
use jit_issuer::{
    CredentialIssuer, Cursor, FoundPage, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError,
    Observed, OrphanAuthorization, PlanRefused, Prepared, ReconcileQuery, RevokeAuthorization, RevokeError,
    RevokeOutcome,
};
use jit_testkit::KillPoint;

/// Writes down each effect before it is asked for, with a moment to be killed before it and one after.
pub struct Journal {
    issuer: Arc<dyn CredentialIssuer>,
    file: File,
    point: Arc<KillPoint>,
    loses_answers: AtomicBool,
}

impl Journal {
    pub fn new(issuer: Arc<dyn CredentialIssuer>, folder: &Path, point: Arc<KillPoint>) -> Self {
        let file = File::options().create(true).append(true).open(path(folder)).unwrap();
        Self { issuer, file, point, loses_answers: AtomicBool::new(false) }
    }

    /// Whether what is minted is answered by silence.
    pub fn lose_answers(&self, lose: bool) {
        self.loses_answers.store(lose, Ordering::SeqCst);
    }

    fn note(&self, effect: &str, credential: impl ToString) {
        // One write, which a killed process has made or not.
        (&self.file).write_all(format!("{effect} {}\n", credential.to_string()).as_bytes()).unwrap();
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("effects")
}

/// How often each credential was minted and committed, by all processes.
pub fn minted(folder: &Path) -> BTreeMap<CredentialId, (u32, u32)> {
    let mut minted: BTreeMap<CredentialId, (u32, u32)> = BTreeMap::new();
    for line in fs::read_to_string(path(folder)).unwrap_or_default().lines() {
        let (effect, credential) = line.split_once(' ').unwrap();
        let (mints, commits) = minted.entry(credential.parse().unwrap()).or_default();
        match effect {
            "mint" => *mints += 1,
            "commit" => *commits += 1,
            _ => {}
        }
    }
    minted
}

#[async_trait]
impl CredentialIssuer for Journal {
    fn name(&self) -> &IssuerName {
        self.issuer.name()
    }

    fn capabilities(&self) -> IssuerCapabilities {
        self.issuer.capabilities()
    }

    fn fit(&self, window: Window) -> Option<Window> {
        self.issuer.fit(window)
    }

    async fn preflight(&self, plan: &MintPlan) -> Result<(), PlanRefused> {
        self.issuer.preflight(plan).await
    }

    async fn mint(&self, authorization: &MintAuthorization) -> Result<Minting, MintError> {
        self.note("mint", authorization.credential());
        let minting = self.point.around("mint", self.issuer.mint(authorization)).await;
        if self.loses_answers.load(Ordering::SeqCst) {
            return Err(MintError::Unknown { cause: code!("answer_lost") });
        }
        minting
    }

    async fn commit(&self, prepared: Prepared, recorded: &Recorded) -> Result<Minted, MintError> {
        self.note("commit", prepared.descriptor().id);
        self.point.around("commit of a mint", self.issuer.commit(prepared, recorded)).await
    }

    async fn abandon(&self, prepared: Prepared) -> Result<(), MintError> {
        self.point.around("abandon", self.issuer.abandon(prepared)).await
    }

    async fn revoke(
        &self,
        authorization: &RevokeAuthorization,
        descriptor: &CredentialDescriptor,
    ) -> Result<RevokeOutcome, RevokeError> {
        self.point.around("revoke", self.issuer.revoke(authorization, descriptor)).await
    }

    async fn reconcile(&self, query: &ReconcileQuery) -> Result<Observed, ObserveError> {
        self.issuer.reconcile(query).await
    }

    async fn list(&self, since: Timestamp, after: Option<&Cursor>) -> Result<FoundPage, ObserveError> {
        self.issuer.list(since, after).await
    }

    async fn end_orphan(&self, authorization: &OrphanAuthorization) -> Result<RevokeOutcome, RevokeError> {
        self.point.around("end of an orphan", self.issuer.end_orphan(authorization)).await
    }
}
