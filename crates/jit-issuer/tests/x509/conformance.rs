//! The conformance suite, with a revocation list and without one.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jit_core::{CredentialDescriptor, Seconds};
use jit_issuer::{CredentialIssuer, x509::CrlFile};
use jit_testkit::{CaseSetup, conformance::issuer::IssuerFactory};
use tempfile::TempDir;

use super::{
    minted::{START, seeded, setup},
    pki::STANDARD,
};

/// Certificates that OpenSSL verifies, under the list if there is one.
struct Verified {
    with_list: bool,
}

#[async_trait]
impl IssuerFactory for Verified {
    type Target = TempDir;

    async fn fresh(&self) -> TempDir {
        tempfile::tempdir().unwrap()
    }

    async fn issuer(&self, folder: &TempDir) -> Arc<dyn CredentialIssuer> {
        static PROCESSES: AtomicU64 = AtomicU64::new(100);
        let issuer = seeded(STANDARD.authority(), PROCESSES.fetch_add(1, Ordering::SeqCst));
        if self.with_list {
            let file = CrlFile::new(folder.path().join("mesh.crl"), Seconds::new(NonZeroU32::new(600).unwrap()));
            Arc::new(issuer.with_crl(file).unwrap())
        } else {
            Arc::new(issuer)
        }
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        setup(seed)
    }

    async fn opens(&self, folder: &TempDir, _: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool> {
        let file = folder.path().join("holder.pem");
        std::fs::write(&file, secret?).unwrap();
        let (file, list) = (file.to_str().unwrap(), folder.path().join("mesh.crl"));
        let at = (START + 10).to_string();
        let mut args = vec!["verify", "-attime", &at, "-CAfile", "root.pem", "-untrusted", file];
        // Before anything is taken back there is no list.
        if list.exists() {
            args.extend(["-crl_check", "-CRLfile", list.to_str().unwrap()]);
        }
        args.push(file);
        Some(STANDARD.try_openssl(&args).status.success())
    }
}

mod with_list {
    jit_testkit::issuer_conformance!(super::Verified { with_list: true });
}

mod without_list {
    jit_testkit::issuer_conformance!(super::Verified { with_list: false });
}
