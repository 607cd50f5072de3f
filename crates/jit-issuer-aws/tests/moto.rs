//! The issuer against moto: the shape of calls and answers. Moto takes any duration, source identity and policy, and checks no
//! signature; what AWS makes of them it cannot tell.
//!
//! Needs a Python that has `scripts/python-requirements.txt`; `scripts/test` installs one and names it in `JIT_TEST_PYTHON`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use jit_core::CredentialDescriptor;
use jit_issuer::{CredentialIssuer, MintAuthorization, Minting};
use jit_issuer_aws::{SessionName, aws_sdk_sts::config::Credentials};
use jit_testkit::{CaseSetup, RecordedCase, conformance::issuer::IssuerFactory};
use serde_json::Value;
use support::{broker_credentials, client, issuer, setup};

/// A server for all tests of this program. It ends with the program, whose end closes its standard input.
fn moto() -> &'static str {
    static SERVER: OnceLock<(Child, String)> = OnceLock::new();
    let (_, address) = SERVER.get_or_init(|| {
        let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let program = "import os, sys, threading\n\
                       threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n\
                       from moto.server import main\n\
                       main(['-H', '127.0.0.1', '-p', '0'])";
        let mut process = Command::new(&python)
            .args(["-c", program])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{python:?}: {e}; install Python 3, or name one in JIT_TEST_PYTHON"));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(std::io::Result::ok);
        let mut said = String::new();
        let address = lines.by_ref().find_map(|line| {
            said.push_str(&line);
            line.split_once("http://").map(|(_, address)| address.trim_end_matches('/').to_owned())
        });
        let Some(address) = address else {
            panic!("no STS server: pip install -r scripts/python-requirements.txt for {python:?}; it said: {said}");
        };
        // Nobody else reads what it logs.
        std::thread::spawn(move || lines.for_each(drop));
        (process, address)
    });
    address
}

/// What the holder of a secret signs with.
fn holder(secret: &[u8]) -> Credentials {
    let document: Value = serde_json::from_slice(secret).unwrap();
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    assert_eq!(document["Version"], 1);
    Credentials::new(text("AccessKeyId"), text("SecretAccessKey"), Some(text("SessionToken")), None, "test")
}

struct AtMoto;

#[async_trait]
impl IssuerFactory for AtMoto {
    type Target = ();

    async fn fresh(&self) {}

    async fn issuer(&self, (): &()) -> Arc<dyn CredentialIssuer> {
        Arc::new(issuer(client(moto(), Some(broker_credentials()))))
    }

    fn setup(&self, seed: u64) -> CaseSetup {
        setup(seed, 3600)
    }

    /// As whom AWS sees the holder.
    async fn opens(&self, (): &(), credential: &CredentialDescriptor, secret: Option<&[u8]>) -> Option<bool> {
        let caller = client(moto(), Some(holder(secret?))).get_caller_identity().send().await.ok()?;
        Some(SessionName::in_arn(caller.arn()?).is_ok_and(|name| name.credential() == credential.id))
    }
}

mod conformance {
    jit_testkit::issuer_conformance!(super::AtMoto);
}

#[tokio::test]
async fn a_session_identifies_itself_and_leads_back_to_its_credential() {
    let issuer = issuer(client(moto(), Some(broker_credentials())));
    let mut case = RecordedCase::approved(setup(1, 3600));
    let intended = case.intend(&issuer);
    let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    assert!(minted.descriptor.window.is_within(&authorization.issued()), "{:?}", minted.descriptor);
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();

    let caller = client(moto(), Some(holder(secret.expose()))).get_caller_identity().send().await.unwrap();
    let arn = caller.arn().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/orders-reader/jit-"), "{arn}");
    assert_eq!(SessionName::in_arn(arn).unwrap().credential(), authorization.credential());
    assert_eq!(minted.descriptor.serial.as_str(), SessionName::of(authorization.credential()).to_string());
}
