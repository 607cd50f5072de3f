//! Keys and chains that do not make an authority.

use jit_issuer::x509::{AuthorityError, OidArc, TrustDomain};

use super::pki::{P256, Pki, STANDARD};

fn refused(pki: &Pki, key: &str, chain: &[&str]) -> AuthorityError {
    pki.try_authority(key, chain).unwrap_err()
}

#[test]
fn a_chain_begins_with_the_certificate_of_the_key_and_goes_up_without_a_gap() {
    let pki = &STANDARD;
    for chain in [&["issuing"][..], &["issuing", "middle"], &["issuing", "middle", "root"]] {
        let authority = pki.try_authority("issuing", chain).unwrap();
        assert_eq!(authority.intermediates().len(), chain.len().min(2));
    }
    assert!(matches!(refused(pki, "issuing", &[]), AuthorityError::Length));
    assert!(matches!(refused(pki, "issuing", &["issuing"; 9]), AuthorityError::Length));
    assert!(matches!(refused(pki, "issuing", &["middle", "issuing"]), AuthorityError::OtherKey));
    assert!(matches!(refused(pki, "issuing", &["issuing", "root"]), AuthorityError::NotIssuedByNext(0)));
    assert!(matches!(refused(pki, "issuing", &["issuing", "middle", "issuing"]), AuthorityError::NotIssuedByNext(1)));
    pki.write("noise.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    assert!(matches!(refused(pki, "issuing", &["issuing", "noise"]), AuthorityError::Malformed(1)));
}

#[test]
fn what_stands_around_certificates_in_a_file_does_not_matter() {
    let pki = &STANDARD;
    let text = pki.openssl(&["x509", "-in", "issuing.pem", "-text"]);
    pki.write("with-text.pem", text.replace('\n', "\r\n"));
    pki.try_authority("issuing", &["with-text", "middle"]).unwrap();
}

#[test]
fn a_certificate_that_may_not_sign_certificates_makes_no_authority() {
    let pki = Pki::new();
    pki.root("root", P256);
    pki.ca("leaf", "root", P256, "leaf");
    pki.ca("usage", "root", P256, "without_certificates");
    pki.ca("elsewhere", "root", P256, "elsewhere");
    assert!(matches!(refused(&pki, "leaf", &["leaf", "root"]), AuthorityError::NotCa(0)));
    assert!(matches!(refused(&pki, "usage", &["usage"]), AuthorityError::NotCa(0)));
    assert!(matches!(refused(&pki, "elsewhere", &["elsewhere"]), AuthorityError::OtherTrustDomain { position: 0, .. }));
    // `pathlen:0` above a CA.
    pki.ca("narrow", "root", P256, "issuing");
    pki.ca("below", "narrow", P256, "root");
    pki.try_authority("narrow", &["narrow", "root"]).unwrap();
    assert!(matches!(refused(&pki, "below", &["below", "narrow", "root"]), AuthorityError::PathLength(1)));
    // The same name, another key.
    let other = Pki::new();
    other.root("root", P256);
    pki.write("forged.pem", other.read("root.pem"));
    assert!(matches!(refused(&pki, "narrow", &["narrow", "forged"]), AuthorityError::NotIssuedByNext(0)));
}

#[test]
fn arcs_and_trust_domains_are_strict() {
    for bad in ["", "1.3.6.1.4.1", "1.3.6.1.4.2.1", "2.25.1", "1.3.6.1.4.1.x", "1.3.6.1.4.1.32473."] {
        assert!(bad.parse::<OidArc>().is_err(), "{bad}");
    }
    for bad in ["", "Example.org", "example.org/x", "spiffe://example.org", "a b"] {
        assert!(bad.parse::<TrustDomain>().is_err(), "{bad}");
    }
}

#[test]
fn an_authority_shows_no_key() {
    let debug = format!("{:?}", STANDARD.authority());
    assert!(debug.contains("CN=issuing") && debug.contains("secret"), "{debug}");
}
