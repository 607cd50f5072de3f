//! Mutual TLS between two workloads, by rustls, which reads the time from us.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use jit_core::Seconds;
use jit_issuer::{
    CredentialIssuer,
    x509::{CrlFile, X509Issuer},
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring::default_provider, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
    time_provider::TimeProvider,
};
use tempfile::tempdir;

use super::{
    minted::{END, Released, START, WORKLOAD, release, seeded, setup},
    pki::STANDARD,
};

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

/// A client that knows workloads by their SPIFFE id (X509-SVID section 5), not by host name.
#[derive(Debug)]
struct Workload {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    expected: &'static str,
}

impl ServerCertVerifier for Workload {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let uri = [&[0x86, u8::try_from(self.expected.len()).unwrap()], self.expected.as_bytes()].concat();
        match end_entity.windows(uri.len()).any(|window| window == uri) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(STANDARD.read("root.pem").as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

fn identity(released: &Released) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificates = released.chain.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
    (certificates.collect(), PrivateKeyDer::from_pem_slice(released.key.as_bytes()).unwrap())
}

/// A handshake at a moment, and one message over it. The error is the server's.
fn handshake(client: &Released, server: &Released, at: u64, list: Option<&[u8]>) -> Result<(), Error> {
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots(), provider());
    if let Some(list) = list {
        let list = CertificateRevocationListDer::from_pem_slice(list).unwrap();
        verifier = verifier.with_crls([list]).only_check_end_entity_revocation().enforce_revocation_expiration();
    }
    let (certificates, key) = identity(server);
    let server = ServerConfig::builder_with_details(provider(), Arc::new(At(at)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(certificates, key)
        .unwrap();
    let (certificates, key) = identity(client);
    let algorithms = provider().signature_verification_algorithms;
    let workload = Workload { roots: roots(), algorithms, expected: WORKLOAD };
    // The client's clock stands within the window, so that what fails is the server's check.
    let client = ClientConfig::builder_with_details(provider(), Arc::new(At(START)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(workload))
        .with_client_auth_cert(certificates, key)
        .unwrap();
    let mut client = ClientConnection::new(Arc::new(client), "workload.invalid".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(server.peer_certificates().unwrap().len(), 3);
    Ok(())
}

fn issuer(list: &std::path::Path) -> X509Issuer {
    let hour = Seconds::new(NonZeroU32::new(3600).unwrap());
    seeded(STANDARD.authority(), 31).with_crl(CrlFile::new(list, hour)).unwrap()
}

#[tokio::test]
async fn workloads_meet_within_the_window_and_not_after_it_or_after_the_list() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mesh.crl");
    let issuer = issuer(&path);
    let (mut client, server) = (release(&issuer, setup(1)).await, release(&issuer, setup(2)).await);
    issuer.publish_crl(client.minted.descriptor.window.start()).await.unwrap();
    let list = || std::fs::read(&path).unwrap();

    handshake(&client, &server, START, None).unwrap();
    handshake(&client, &server, END - 1, Some(&list())).unwrap();
    let certificate = |error| matches!(error, Error::InvalidCertificate(_)).then_some(error).unwrap();
    let late = certificate(handshake(&client, &server, END, None).unwrap_err());
    assert!(format!("{late:?}").contains("Expired"), "{late:?}");
    let early = certificate(handshake(&client, &server, START - 1, None).unwrap_err());
    assert!(format!("{early:?}").contains("NotValidYet"), "{early:?}");

    let authorization = client.end_of_certificate();
    issuer.revoke(&authorization, &client.minted.descriptor).await.unwrap();
    let revoked = handshake(&client, &server, START + 1, Some(&list())).unwrap_err();
    assert_eq!(revoked, Error::InvalidCertificate(CertificateError::Revoked));
    assert_eq!(AlertDescription::from(CertificateError::Revoked), AlertDescription::CertificateRevoked);
    // Who reads no list does not notice: what the capabilities say is all there is.
    handshake(&client, &server, START + 1, None).unwrap();
    handshake(&server, &client, START + 1, Some(&list())).unwrap();
}
