//! Connections: TLS, passwords, lost answers, and servers that are gone.

use std::{fs, path::Path, process::Command};

use jit_issuer::{MintError, RevokeError};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tempfile::TempDir;

use crate::{
    proxy::{Fate, Proxy},
    *,
};

/// A key and a certificate for 127.0.0.1 that is its own trust anchor, as OpenSSL makes them.
fn self_signed(folder: &Path) {
    let config = "[req]\ndistinguished_name=name\nx509_extensions=leaf\nprompt=no\n[name]\nCN=directory\n\
                  [leaf]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
    fs::write(folder.join("openssl.cnf"), config).unwrap();
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
                -config openssl.cnf";
    let made = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output();
    let made = made.expect("openssl is needed: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(certificate).unwrap()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn start_tls_is_spoken_and_its_certificate_checked() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    self_signed(folder.path());
    self_signed(other.path());
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let slapd = Box::leak(Box::new(peopled(TestSlapd::with_tls(&certificate, &key))));
    let world = World::on(slapd).await;
    let through = |host: &str, config| {
        LdapTarget::new(host, slapd.port(), LdapSecurity::StartTls(config), dn(TestSlapd::SERVICE), password())
    };
    let groups = || managed(&world.name, world.uuid);
    let issuer = connect(through("127.0.0.1", trusting(&certificate)), groups()).await.unwrap();
    let world = world.with(|_| issuer);
    let descriptor = world.mint(&mut case(1)).await;
    assert!(world.reads(1));
    assert_eq!(world.revoke(&descriptor).await, removed());

    let failed = LdapIssuerError::Unavailable { cause: code!("tls_failed") };
    let groups = || managed(&world.name, world.uuid);
    for refused in
        [through("127.0.0.1", trusting(&other.path().join("cert.pem"))), through("localhost", trusting(&certificate))]
    {
        assert_eq!(connect(refused, groups()).await.unwrap_err(), failed);
    }
    // A directory without TLS refuses to begin it, and nobody goes on without.
    let config = trusting(&certificate);
    let plain = LdapTarget::new(
        "127.0.0.1",
        crate::slapd().port(),
        LdapSecurity::StartTls(config),
        dn(TestSlapd::SERVICE),
        password(),
    );
    assert!(matches!(connect(plain, groups()).await.unwrap_err(), LdapIssuerError::Unavailable { .. }));
}

#[tokio::test]
async fn who_is_not_let_in_is_not_taken_for_nobody() {
    let world = World::new().await;
    let groups = || managed(&world.name, world.uuid);
    for (user, password, cause) in [
        (TestSlapd::SERVICE, "wrong", code!("ldap_49")),
        (TestSlapd::SERVICE, "", code!("password_is_empty")),
        ("cn=absent,dc=example,dc=org", "wrong", code!("ldap_49")),
    ] {
        let password = Zeroizing::new(password.to_owned());
        let target = LdapTarget::new("127.0.0.1", world.slapd.port(), LdapSecurity::Loopback, dn(user), password);
        assert!(!format!("{target:?}").contains("wrong"));
        assert_eq!(connect(target, groups()).await.unwrap_err(), LdapIssuerError::Unavailable { cause });
    }
    assert!(!format!("{:?}", world.issuer).contains(TestSlapd::PASSWORD));
}

#[tokio::test]
async fn a_directory_that_is_gone_has_changed_nothing() {
    let slapd = Box::leak(Box::new(peopled(TestSlapd::new())));
    let world = World::on(slapd).await;
    let descriptor = world.mint(&mut case(1)).await;
    let authorization = case(2).authorize(&world.issuer);
    slapd.kill9();
    let unreachable = code!("unreachable");
    let error = world.issuer.mint(&authorization).await.unwrap_err();
    assert_eq!(error, MintError::Failed { cause: unreachable.clone() });
    let revoke = RevokeAuthorization::store_down(code!("test"), descriptor.window.start(), &descriptor);
    let error = world.issuer.revoke(&revoke, &descriptor).await.unwrap_err();
    assert_eq!(error, RevokeError::Failed { cause: unreachable });
    slapd.start();
    assert_eq!(world.revoke(&descriptor).await, removed());
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_somebody_looks() {
    for (fate, cause) in [
        (Fate::CutBefore, code!("answer_lost")),
        (Fate::CutAfter, code!("answer_lost")),
        (Fate::Silence, code!("timed_out")),
        (Fate::Garbage, code!("answer_unreadable")),
    ] {
        let world = World::new().await;
        let groups = || managed(&world.name, world.uuid);
        // Marks have this in them, and nothing else that is asked.
        let proxy = Proxy::before(world.slapd.port(), "jit:staff-groups ", fate).await;
        let target = || target(proxy.port).patience(Duration::from_millis(400));
        let behind = connect(target(), groups()).await.unwrap();
        let mut case = case(1);
        let authorization = case.authorize(&behind);
        let error = behind.mint(&authorization).await.unwrap_err();
        assert_eq!(error, MintError::Unknown { cause: cause.clone() }, "{fate:?}");
        let there = fate != Fate::CutBefore;
        let seen = world.look(&case, authorization.credential()).await;
        assert_eq!((matches!(seen, Observed::Exists(_)), world.reads(1)), (there, there), "{fate:?}");

        let descriptor = world.mint(&mut crate::case(2)).await;
        let revoke = RevokeAuthorization::store_down(code!("test"), descriptor.window.start(), &descriptor);
        let error = behind.revoke(&revoke, &descriptor).await.unwrap_err();
        assert_eq!(error, RevokeError::Unknown { cause }, "{fate:?}");
        assert_eq!(world.reads(2), !there, "{fate:?}");
        let again = world.revoke(&descriptor).await;
        assert_eq!(again, if there { RevokeOutcome::AlreadyGone } else { removed() });
    }
}
