//! The private key is in what is handed over, and nowhere else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jit_core::{Entropy, EntropyError};
use jit_issuer::{CredentialIssuer as _, MintAuthorization, MintError, Minting, key::LocalKey, ssh::SshIssuer};
use jit_testkit::{Canary, RecordedCase};

use crate::issuing::{action, setup};

const SEED: [u8; 32] = *b"a seed that must be seen nowhere";
const AUTHORITY: [u8; 32] = *b"an authority that nobody may see";

/// Randomness that gives the seed to whoever asks first: the key pair. The nonce, which is public, is zeros.
#[derive(Default)]
struct Planted(AtomicBool);

impl Entropy for Planted {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        let given = self.0.swap(true, Ordering::Relaxed);
        buffer.copy_from_slice(if given { &[0; 32] } else { &SEED });
        Ok(())
    }
}

/// Randomness for nobody.
struct Dry;

impl Entropy for Dry {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError { reason: "dry".to_owned() })
    }
}

fn issuer(entropy: Arc<dyn Entropy>) -> SshIssuer {
    let logins = jit_issuer::ssh::Logins::new().with(
        action(),
        "host:prod".parse().unwrap(),
        jit_issuer::ssh::Login::new("deploy").unwrap(),
    );
    let key = Arc::new(LocalKey::from_ed25519_seed(AUTHORITY));
    SshIssuer::new(jit_core::IssuerName::new("hosts").unwrap(), key, logins, entropy).unwrap()
}

#[tokio::test]
async fn no_secret_is_in_debug_output_descriptors_or_records() {
    let issuer = issuer(Arc::new(Planted::default()));
    let mut case = RecordedCase::approved(setup());
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let minting = issuer.mint(&authorization).await.unwrap();
    let shown = format!("{issuer:?} {authorization:?} {minting:?}");
    let Minting::Done(minted) = minting else { panic!("prepared") };
    let issued = case.issued(&minted.descriptor);
    let recorded = format!("{:?} {issued:?}", minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    let bundle = std::str::from_utf8(secret.expose()).unwrap();
    let (private, certificate) = bundle.trim_end().rsplit_once('\n').unwrap();
    let key: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    let (private, authority) = (Canary::new(&SEED), Canary::new(&AUTHORITY));
    assert!(private.find(&key).is_some(), "the canary is not planted");
    for (what, text) in [("debug output", &*shown), ("record", &recorded), ("certificate", certificate)] {
        private.assert_absent(what, text);
        authority.assert_absent(what, text);
    }
    authority.assert_absent("private key", &key);
    assert_eq!(format!("{secret:?}"), "Secret(redacted)");
}

#[tokio::test]
async fn without_randomness_nothing_is_minted() {
    let issuer = issuer(Arc::new(Dry));
    let mut case = RecordedCase::approved(setup());
    let authorization = case.authorize(&issuer);
    let error = issuer.mint(&authorization).await.unwrap_err();
    assert_eq!(error, MintError::Failed { cause: jit_core::code!("no_entropy") });
}
