//! What is not minted, and what never shows.

use jit_core::{
    Code, Condition, CredentialId, Enforcement, Identity, PrincipalId, Timestamp, Window, canonical::Value, code,
};
use jit_issuer::{
    CredentialIssuer, MintError, MintPlan, Minting, ObserveError, Observed, PlanRefused, ReconcileQuery, key::LocalKey,
};
use jit_testkit::{Canary, CaseSetup, MemoryTarget, RecordedCase};

use super::{
    minted::{issuer, setup},
    pki::STANDARD,
};

async fn refused(setup: CaseSetup) -> Code {
    let issuer = issuer(STANDARD.authority());
    let window = setup.window;
    let mut case = RecordedCase::approved(setup);
    let plan = MintPlan::new(case.case().grant().unwrap(), window);
    let PlanRefused { cause } = issuer.preflight(&plan).await.unwrap_err();
    if let Ok(intended) = case.try_intend(&issuer) {
        let authorization = jit_issuer::MintAuthorization::new(case.case(), &intended).unwrap();
        assert_eq!(issuer.mint(&authorization).await.unwrap_err(), MintError::Refused { cause: cause.clone() });
    }
    cause
}

#[tokio::test]
async fn only_a_workload_of_the_trust_domain_gets_a_certificate() {
    let person = PrincipalId::Identity(Identity::new("idp.example", "u-1").unwrap());
    assert_eq!(refused(CaseSetup { recipient: Some(person), ..setup(1) }).await, code!("subject_cannot_hold"));
    let stranger = PrincipalId::Workload("spiffe://example.org.evil/ns/prod/deployer".parse().unwrap());
    assert_eq!(refused(CaseSetup { recipient: Some(stranger), ..setup(1) }).await, code!("other_trust_domain"));
}

#[tokio::test]
async fn a_condition_that_a_certificate_cannot_carry_is_refused() {
    for (enforcement, expressible) in [
        (Enforcement::Issuer, false),
        (Enforcement::Target, false),
        (Enforcement::Broker, true),
        (Enforcement::Advisory, true),
    ] {
        let condition = Condition { id: code!("source_address"), value: Value::from(true), enforcement };
        let setup = CaseSetup { conditions: vec![condition], ..setup(1) };
        if expressible {
            super::minted::release(&issuer(STANDARD.authority()), setup).await;
        } else {
            assert_eq!(refused(setup).await, code!("condition_not_expressible"));
        }
    }
}

#[tokio::test]
async fn a_window_without_two_whole_seconds_is_refused() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let window = Window::new(time("2026-11-02T10:00:00.000001Z"), time("2026-11-02T10:00:02.999999Z")).unwrap();
    assert_eq!(refused(CaseSetup { window, ..setup(1) }).await, code!("window_not_expressible"));
    let before = Window::new(time("2019-12-31T10:00:00.000000Z"), time("2019-12-31T11:00:00.000000Z")).unwrap();
    assert_eq!(refused(CaseSetup { window: before, ..setup(1) }).await, code!("window_not_expressible"));
}

#[tokio::test]
async fn an_authorization_for_another_issuer_mints_nothing() {
    let refusal = MintError::Refused { cause: code!("other_issuer_intended") };
    let issuer = || issuer(STANDARD.authority());
    let mut case = RecordedCase::approved(setup(1));
    let elsewhere = case.authorize(&MemoryTarget::new());
    assert_eq!(issuer().mint(&elsewhere).await.unwrap_err(), refusal);
    let mut case = RecordedCase::approved(setup(1));
    let before_a_change = case.authorize(&issuer().with_leeway_s(5));
    assert_eq!(issuer().mint(&before_a_change).await.unwrap_err(), refusal);
}

#[tokio::test]
async fn a_certificate_that_was_never_released_never_existed() {
    let issuer = issuer(STANDARD.authority());
    let mut case = RecordedCase::approved(setup(1));
    let authorization = case.authorize(&issuer);
    let id: CredentialId = authorization.credential();
    let query = ReconcileQuery::new(id, case.case().credentials()[&id].intended.clone());
    assert_eq!(issuer.reconcile(&query).await, Ok(Observed::NeverExisted));
    assert_eq!(issuer.list(Timestamp::EPOCH, None).await, Err(ObserveError::Unsupported));
}

#[tokio::test]
async fn nothing_is_prepared() {
    let issuer = issuer(STANDARD.authority());
    let target = MemoryTarget::new().preparing();
    let mut case = RecordedCase::approved(setup(1));
    let Minting::Prepared(prepared) = target.mint(&case.authorize(&target)).await.unwrap() else { panic!("done") };
    let recorded = case.prepared(prepared.descriptor());
    let refused = issuer.commit(prepared, &recorded).await.unwrap_err();
    assert_eq!(refused, MintError::Refused { cause: code!("never_prepares") });
}

#[tokio::test]
async fn neither_key_shows() {
    let issuer = issuer(STANDARD.authority());
    let secret_of = |pem: &str| {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
        // The scalar of a P-256 key (RFC 5915).
        let at = der.windows(2).position(|w| w == [0x04, 0x20]).unwrap() + 2;
        Canary::new(&der[at..at + 32])
    };
    let authority = secret_of(&STANDARD.read("issuing.key"));
    authority.assert_absent("Debug of X509Issuer", format!("{issuer:?}"));
    let mut case = RecordedCase::approved(setup(1));
    let authorization = case.authorize(&issuer);
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let debug = format!("{minted:?}");
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    authority.assert_absent("what is released", secret.expose());
    let text = std::str::from_utf8(secret.expose()).unwrap();
    let key = &text[..text.find("-----BEGIN CERTIFICATE").unwrap()];
    LocalKey::from_pkcs8_pem(key).unwrap();
    let holder = secret_of(key);
    holder.assert_absent("the certificate", text.split_at(key.len()).1);
    for (what, shown) in [
        ("Debug of Minted", debug),
        ("Debug of Secret", format!("{secret:?}")),
        ("Debug of the issuer", format!("{issuer:?}")),
        ("Debug of the case", format!("{:?}", case.case())),
        ("the descriptor", serde_json::to_string(&minted.descriptor).unwrap()),
    ] {
        holder.assert_absent(what, shown);
    }
}
