//! Certificates minted and released as a broker does.

use std::sync::Arc;

use jit_core::{IssuerName, PrincipalId};
use jit_issuer::{
    CredentialIssuer, Minted, Minting, RevokeAuthorization,
    x509::{Authority, X509Issuer},
};
use jit_testkit::{CaseSetup, RecordedCase, SeededEntropy};

pub(crate) const ARC: &str = "1.3.6.1.4.1.32473.7";
pub(crate) const WORKLOAD: &str = "spiffe://example.org/ns/prod/deployer";
/// The default window of a case, in Unix seconds.
pub(crate) const START: u64 = 1_793_613_600;
pub(crate) const END: u64 = START + 3600;

pub(crate) fn issuer(authority: Authority) -> X509Issuer {
    seeded(authority, 11)
}

pub(crate) fn seeded(authority: Authority, seed: u64) -> X509Issuer {
    let entropy = Arc::new(SeededEntropy::new(seed));
    X509Issuer::new(IssuerName::new("mesh").unwrap(), authority, ARC.parse().unwrap(), entropy)
}

/// A case whose recipient is the workload.
pub(crate) fn setup(seed: u64) -> CaseSetup {
    let recipient = Some(PrincipalId::Workload(WORKLOAD.parse().unwrap()));
    CaseSetup { recipient, seed, ..CaseSetup::default() }
}

/// A released certificate.
pub(crate) struct Released {
    pub(crate) case: RecordedCase,
    pub(crate) minted: Minted,
    /// The private key in PEM, if it was made by the issuer.
    pub(crate) key: String,
    /// The chain in PEM, one certificate each, the holder's first.
    pub(crate) chain: Vec<String>,
}

pub(crate) async fn release(issuer: &X509Issuer, setup: CaseSetup) -> Released {
    let mut case = RecordedCase::approved(setup);
    let authorization = case.authorize(issuer);
    let Minting::Done(mut minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.take().unwrap().open(&issued).unwrap();
    let text = String::from_utf8(secret.expose().to_vec()).unwrap();
    let (key, certificates) = text.split_at(text.find("-----BEGIN CERTIFICATE-----").unwrap());
    let end = "-----END CERTIFICATE-----\n";
    let chain = certificates.split_inclusive(end).map(str::to_owned).collect();
    Released { case, minted, key: key.to_owned(), chain }
}

impl Released {
    pub(crate) fn end_of_certificate(&mut self) -> RevokeAuthorization {
        let intended = self.case.intend_revocation(self.minted.descriptor.id);
        RevokeAuthorization::recorded(self.case.case(), &intended).unwrap()
    }
}
