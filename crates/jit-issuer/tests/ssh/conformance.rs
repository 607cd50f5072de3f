//! The conformance suite, with a revocation list and without one.

use std::{fs, sync::Arc};

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, Timestamp};
use jit_issuer::{
    CredentialIssuer,
    key::KeyAlgorithm,
    ssh::{KrlFile, Revocations},
};
use jit_testkit::{CaseSetup, conformance::issuer::IssuerFactory};
use tempfile::TempDir;

use crate::{
    issuing::{issuer_for, me, setup},
    openssh::revoked,
};

/// Certificates that `ssh-keygen` holds against the list, if there is one.
struct Listed {
    with_list: bool,
}

#[async_trait]
impl IssuerFactory for Listed {
    type Target = TempDir;

    async fn fresh(&self) -> TempDir {
        tempfile::tempdir().unwrap()
    }

    async fn issuer(&self, folder: &TempDir) -> Arc<dyn CredentialIssuer> {
        let issuer = issuer_for(&me(), KeyAlgorithm::Ed25519);
        if self.with_list {
            let file = KrlFile::new(folder.path().join("krl"));
            Arc::new(issuer.with_revocations(Revocations::new(file, 0, Timestamp::EPOCH, [])))
        } else {
            Arc::new(issuer)
        }
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        CaseSetup { seed, ..setup() }
    }

    async fn opens(&self, folder: &TempDir, _: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool> {
        let text = std::str::from_utf8(secret?).unwrap();
        let certificate = text.lines().last().unwrap();
        // Before anything is taken back there is no list.
        let Ok(list) = fs::read(folder.path().join("krl")) else { return Some(true) };
        Some(!revoked(&list, &[certificate])[0])
    }
}

mod with_list {
    jit_testkit::issuer_conformance!(super::Listed { with_list: true });
}

mod without_list {
    jit_testkit::issuer_conformance!(super::Listed { with_list: false });
}
