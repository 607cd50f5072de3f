//! Keys that never leave a token: SoftHSM signs, OpenSSH and PyJWT verify.
//!
//! Needs Debian's `softhsm2`, `openssl` and `openssh-client`, and a Python that has `scripts/python-requirements.txt`; `scripts/test` installs
//! them and names the last in `JIT_TEST_PYTHON`.
//!
//! SoftHSM learns from the environment where its tokens are, once a process: each test runs again in a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use jit_core::{Action, IssuerName, Scope, code};
use jit_issuer::{
    CredentialIssuer as _, MintAuthorization, Minting,
    jwt::KeySchedule,
    key::{KeyAlgorithm, Pkcs11Error, Pkcs11Key, Pkcs11Module, SigningError, SigningKey as _},
    ssh::{Login, Logins, SshIssuer},
};
use jit_testkit::{CaseSetup, RecordedCase, SeededEntropy};
use support::{AUDIENCE, ISS, issuer_with, token};
use tempfile::TempDir;
use zeroize::Zeroizing;

const TOKEN: &str = "issuers";
const PIN: &str = "7401-9925";
const MODULE: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
/// Set in the process that has a token.
const TOKENS: &str = "JIT_TEST_TOKENS";

/// Runs `test`, which is `name`, in a process of its own, with a folder for tokens and one token in it.
fn with_token(name: &str, test: impl FnOnce(&Tokens)) {
    if let Some(folder) = env::var_os(TOKENS) {
        return test(&Tokens { folder: folder.into() });
    }
    let folder = TempDir::new().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let config =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(folder.path().join("softhsm2.conf"), config).unwrap();
    let within = Tokens { folder: folder.path().to_path_buf() };
    within.softhsm(&["--init-token", "--free", "--label", TOKEN, "--so-pin", "5555-0000", "--pin", PIN]);
    let mut again = within.command(&env::current_exe().unwrap());
    let ran = again.args(["--exact", name, "--nocapture"]).env(TOKENS, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let passed = ran.status.success() && said.contains("test result: ok. 1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

/// A folder with tokens.
struct Tokens {
    folder: PathBuf,
}

impl Tokens {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.folder.join("softhsm2.conf"));
        command
    }

    fn softhsm(&self, args: &[&str]) {
        let ran = self.command(Path::new("softhsm2-util")).args(args).stdin(Stdio::null()).output();
        let ran = ran.expect("softhsm2-util is needed: apt-get install softhsm2");
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A key as OpenSSL makes it, brought into the token.
    fn import(&self, label: &str, id: &str, options: &[&str]) {
        let file = self.folder.join(format!("{label}-{id}.pem"));
        let file = file.to_str().unwrap();
        let made = Command::new("openssl").args(["genpkey", "-quiet", "-out", file]).args(options).status();
        assert!(made.expect("openssl is needed: apt-get install openssl").success());
        self.softhsm(&["--import", file, "--token", TOKEN, "--pin", PIN, "--label", label, "--id", id]);
    }
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const SHORT_RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];

fn library() -> &'static str {
    MODULE.into_iter().find(|file| Path::new(file).exists()).expect("softhsm2 is needed: apt-get install softhsm2")
}

fn module() -> Pkcs11Module {
    Pkcs11Module::load(library()).unwrap()
}

fn pin(pin: &str) -> Zeroizing<String> {
    Zeroizing::new(pin.to_owned())
}

fn open(label: &str) -> Result<Pkcs11Key, Pkcs11Error> {
    Pkcs11Key::open(&module(), TOKEN, label, &pin(PIN))
}

/// A session of another part of this process, which may change the token.
fn beside() -> Session {
    let library = Pkcs11::new(library()).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    library.open_rw_session(slot).unwrap()
}

/// Ends every session of this process, as a token does that is pulled out and put back.
fn pull_out() {
    Pkcs11::new(library()).unwrap().finalize().unwrap();
    Pkcs11::new(library()).unwrap().initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn pyjwt_verifies_tokens_that_were_signed_in_a_token() {
    with_token("pyjwt_verifies_tokens_that_were_signed_in_a_token", |tokens| {
        tokens.import("es", "01", P256);
        tokens.import("rs", "02", RSA);
        for (label, algorithm) in [("es", KeyAlgorithm::EcdsaP256Sha256), ("rs", KeyAlgorithm::RsaPkcs1Sha256)] {
            let key = open(label).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let issuer = issuer_with(KeySchedule::new(Arc::new(key)).unwrap());
            let mut case = RecordedCase::approved(CaseSetup { window: support::window_now(), ..CaseSetup::default() });
            let (_, token) = run(token(&issuer, &mut case));
            let jwks = serde_json::to_string(&issuer.jwks(support::now())).unwrap();
            let claims = pyjwt(&jwks, &token).expect("PyJWT takes the token");
            assert_eq!(claims["txn"], case.case().grant_id().to_string());
            let mut forged = token.clone().into_bytes();
            let last = forged.len() - 10;
            forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
            assert!(pyjwt(&jwks, std::str::from_utf8(&forged).unwrap()).is_err(), "a forged signature is taken");
        }
    });
}

/// The claims, if PyJWT takes the token under the key set.
fn pyjwt(jwks: &str, token: &str) -> Result<serde_json::Value, String> {
    const PROGRAM: &str = "import json, sys, jwt\n\
        work = json.load(sys.stdin)\n\
        keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(work['jwks']).keys}\n\
        key = keys[jwt.get_unverified_header(work['token'])['kid']]\n\
        print(json.dumps(jwt.decode(work['token'], key=key, algorithms=['ES256', 'RS256'], audience=work['aud'], issuer=work['iss'])))";
    let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut python = Command::new(&python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python with scripts/python-requirements.txt is needed; name it in JIT_TEST_PYTHON");
    let jwks: serde_json::Value = serde_json::from_str(jwks).unwrap();
    let work = serde_json::json!({ "jwks": jwks, "token": token, "aud": AUDIENCE, "iss": ISS });
    python.stdin.take().unwrap().write_all(work.to_string().as_bytes()).unwrap();
    let answer = python.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(!error.contains("ModuleNotFoundError"), "pip install -r scripts/python-requirements.txt: {error}");
    if answer.status.success() { Ok(serde_json::from_slice(&answer.stdout).unwrap()) } else { Err(error) }
}

#[test]
fn openssh_takes_a_certificate_whose_authority_is_in_a_token() {
    with_token("openssh_takes_a_certificate_whose_authority_is_in_a_token", |tokens| {
        tokens.import("ca", "01", P256);
        let action = Action::new("login").unwrap();
        let logins = Logins::new().with(action.clone(), "host:prod".parse().unwrap(), Login::new("deploy").unwrap());
        let key = Arc::new(open("ca").unwrap());
        let issuer =
            SshIssuer::new(IssuerName::new("hosts").unwrap(), key, logins, Arc::new(SeededEntropy::new(3))).unwrap();
        let scope = Scope::new("host:prod/web-1".parse().unwrap(), [action]).unwrap();
        let mut case =
            RecordedCase::approved(CaseSetup { scope, window: support::window_now(), ..CaseSetup::default() });
        let intended = case.intend(&issuer);
        let authorization = MintAuthorization::new(case.case(), &intended).unwrap();
        let Minting::Done(minted) = run(issuer.mint(&authorization)).unwrap() else { panic!("prepared") };
        let issued = case.issued(&minted.descriptor);
        let secret = minted.secret.unwrap().open(&issued).unwrap();
        let secret = String::from_utf8(secret.expose().to_vec()).unwrap();
        let certificate = secret.lines().find(|line| line.contains("-cert-v01@openssh.com ")).unwrap();

        // ssh-keygen verifies the signature of a certificate before it shows any of it.
        let file = tokens.folder.join("id-cert.pub");
        let show = |certificate: &str| {
            fs::write(&file, format!("{certificate}\n")).unwrap();
            let shown = Command::new("ssh-keygen").arg("-L").arg("-f").arg(&file).output();
            shown.expect("ssh-keygen is needed: apt-get install openssh-client")
        };
        let shown = show(certificate);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.status.success() && text.contains("Signing CA: ECDSA"), "{text}");
        assert!(text.contains(&case.case().grant_id().to_string()), "{text}");
        let (kind, blob) = certificate.split_once(' ').unwrap();
        let blob = blob.split(' ').next().unwrap();
        let mut bytes = data_encoding::BASE64.decode(blob.as_bytes()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let forged = format!("{kind} {}", data_encoding::BASE64.encode(&bytes));
        assert!(!show(&forged).status.success(), "ssh-keygen does not look at the signature");
    });
}

#[test]
fn what_is_missing_or_unfit_is_named() {
    with_token("what_is_missing_or_unfit_is_named", |tokens| {
        tokens.import("p384", "01", P384);
        tokens.import("short", "02", SHORT_RSA);
        tokens.import("twice", "03", P256);
        tokens.import("twice", "04", P256);
        tokens.import("halved", "05", P256);
        tokens.import("mixed", "06", P256);
        tokens.import("other", "07", P256);
        // A library that nobody has loaded any more forgets that it was initialised.
        let module = module();
        let fails = |label: &str| open(label).unwrap_err();
        assert!(matches!(fails("nothing"), Pkcs11Error::NoKey { label, .. } if label == "nothing"));
        assert!(matches!(fails("p384"), Pkcs11Error::UnfitKey { .. }));
        assert!(matches!(fails("short"), Pkcs11Error::UnfitKey { .. }));
        assert!(matches!(fails("twice"), Pkcs11Error::TwoKeys { .. }));

        let session = beside();
        session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
        let half = |label: &str| {
            let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Label(label.into())];
            session.find_objects(&template).unwrap()[0]
        };
        session.destroy_object(half("halved")).unwrap();
        assert!(matches!(fails("halved"), Pkcs11Error::NoPublicKey { .. }));
        session.destroy_object(half("mixed")).unwrap();
        session.update_attributes(half("other"), &[Attribute::Id(vec![6])]).unwrap();
        assert!(matches!(fails("mixed"), Pkcs11Error::NotAPair { .. }));

        let elsewhere = Pkcs11Key::open(&module, "nowhere", "p384", &pin(PIN));
        assert!(matches!(elsewhere.unwrap_err(), Pkcs11Error::NoToken { token } if token == "nowhere"));
        assert!(matches!(Pkcs11Module::load("/nowhere.so"), Err(Pkcs11Error::Library { .. })));
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_shown_nowhere() {
    with_token("a_wrong_pin_is_tried_once_and_shown_nowhere", |tokens| {
        tokens.import("es", "01", P256);
        let error = Pkcs11Key::open(&module(), TOKEN, "es", &pin("0000-0000")).unwrap_err();
        assert!(matches!(&error, Pkcs11Error::WrongPin { token } if token == TOKEN));
        assert!(!format!("{error} {error:?}").contains("0000-0000"));
        let key = open("es").unwrap();
        assert!(!format!("{key:?}").contains(PIN));
    });
}

#[test]
fn a_lost_session_is_opened_again() {
    with_token("a_lost_session_is_opened_again", |tokens| {
        tokens.import("es", "01", P256);
        let key = open("es").unwrap();
        let signs = || {
            let signature = run(key.sign(b"a message")).unwrap();
            assert!(key.public().verifies(b"a message", &signature));
            assert!(!key.public().verifies(b"another", &signature));
        };
        signs();
        // Who is logged in is one state of the token for all sessions of a process.
        beside().logout().unwrap();
        signs();
        pull_out();
        signs();
    });
}

#[test]
fn a_pin_that_was_changed_is_not_tried_again_and_again() {
    with_token("a_pin_that_was_changed_is_not_tried_again_and_again", |tokens| {
        tokens.import("es", "01", P256);
        let key = open("es").unwrap();
        let (old, new) = (AuthPin::new(PIN.into()), AuthPin::new("8888-1111".into()));
        let change = |from: &AuthPin, to: &AuthPin| {
            beside().set_pin(from, to).unwrap();
            pull_out();
        };
        let refused = Err(SigningError::Unavailable { cause: code!("pin_refused") });
        change(&old, &new);
        assert_eq!(run(key.sign(b"a message")), refused);
        // It would be taken now, and is not tried.
        change(&new, &old);
        assert_eq!(run(key.sign(b"a message")), refused);
        assert!(run(open("es").unwrap().sign(b"a message")).is_ok());
    });
}

#[test]
fn a_key_that_was_replaced_signs_nothing() {
    with_token("a_key_that_was_replaced_signs_nothing", |tokens| {
        tokens.import("es", "01", P256);
        let key = open("es").unwrap();
        let session = beside();
        for object in session.find_objects(&[Attribute::Label("es".into())]).unwrap() {
            session.destroy_object(object).unwrap();
        }
        let signed = run(key.sign(b"a message"));
        assert_eq!(signed, Err(SigningError::Unavailable { cause: code!("key_absent") }));
        tokens.import("es", "01", P256);
        let signed = run(key.sign(b"a message"));
        assert_eq!(signed, Err(SigningError::Unavailable { cause: code!("key_replaced") }));
    });
}
