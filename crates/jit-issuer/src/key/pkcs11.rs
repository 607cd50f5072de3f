//! Keys in a PKCS#11 token: a hardware module, or one in software.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use jit_core::{Code, code};
use pkcs8::{
    EncodePublicKey as _,
    der::{
        Encode as _, Tag,
        asn1::{AnyRef, UintRef},
    },
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KeyAlgorithm, Pkcs11Error, PublicKey, PublicKeyParts, SigningError, SigningKey};

/// `CKA_EC_PARAMS` of P-256: the DER of its object identifier (RFC 5480 section 2.1.1.1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// What a key signs when it is opened, to show that its halves belong together. No credential of any kind begins like this.
const TRIAL: &[u8] = b"jit-issuer: trial of a signing key, not a credential";

/// A PKCS#11 library, loaded into this process. To load a library is to run its code.
#[derive(Debug, Clone)]
pub struct Pkcs11Module(Pkcs11);

impl Pkcs11Module {
    /// Loads the library in a file, and initialises it for use by several threads unless somebody else in this process has.
    ///
    /// # Errors
    /// [`Pkcs11Error::Library`].
    pub fn load(library: impl AsRef<Path>) -> Result<Self, Pkcs11Error> {
        let library = library.as_ref();
        let failed = |source| Pkcs11Error::Library { path: library.to_path_buf(), source: Box::new(source) };
        let loaded = Pkcs11::new(library).map_err(failed)?;
        match loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(Self(loaded)),
            Err(error) => Err(failed(error)),
        }
    }

    fn slot(&self, token: &str) -> Result<Slot, Pkcs11Error> {
        let mut found = None;
        for slot in self.0.get_slots_with_initialized_token()? {
            if self.0.get_token_info(slot)?.label() != token {
                continue;
            }
            if found.replace(slot).is_some() {
                return Err(Pkcs11Error::TwoTokens { token: token.to_owned() });
            }
        }
        found.ok_or_else(|| Pkcs11Error::NoToken { token: token.to_owned() })
    }
}

/// A private key that never leaves its token: ECDSA with P-256, or RSA of 2048 to 8192 bits. One session of its own, one signature at a
/// time. Never shown.
///
/// A session that is lost is opened again, with the PIN from before, once for each signature. A PIN that was refused is never
/// tried again: tokens lock themselves after a few.
///
/// ```no_run
/// # fn pin_from_a_secret_store() -> zeroize::Zeroizing<String> { Default::default() }
/// use jit_issuer::key::{Pkcs11Key, Pkcs11Module};
/// let module = Pkcs11Module::load("/usr/lib/softhsm/libsofthsm2.so")?;
/// let key = Pkcs11Key::open(&module, "issuers", "ssh-ca-2026", &pin_from_a_secret_store())?;
/// # Ok::<(), jit_issuer::key::Pkcs11Error>(())
/// ```
pub struct Pkcs11Key {
    token: Arc<Token>,
    public: PublicKey,
}

impl Pkcs11Key {
    /// The private key with this label (`CKA_LABEL`) in the token with that label. Its public half is the public key of the same id
    /// (`CKA_ID`) in the token; that both belong together, one signature shows. Blocks while the token works.
    ///
    /// # Errors
    /// [`Pkcs11Error`] naming what is missing, refused or unfit.
    pub fn open(module: &Pkcs11Module, token: &str, label: &str, pin: &Zeroizing<String>) -> Result<Self, Pkcs11Error> {
        let place = Place {
            module: module.clone(),
            token: token.to_owned(),
            label: label.to_owned(),
            pin: AuthPin::new(pin.as_str().into()),
        };
        let (open, public) = place.open()?;
        let algorithm = public.algorithm();
        let token = Token { place, algorithm, public: public.clone(), state: Mutex::new(State::Open(open)) };
        let signature = token.sign(TRIAL).map_err(|error| Pkcs11Error::Trial { label: label.to_owned(), error })?;
        if !public.verifies(TRIAL, &signature) {
            return Err(Pkcs11Error::NotAPair { label: label.to_owned() });
        }
        Ok(Self { token: Arc::new(token), public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

#[async_trait]
impl SigningKey for Pkcs11Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.token.algorithm
    }

    fn public_key(&self) -> &[u8] {
        self.public.as_der()
    }

    /// Signs on a thread for blocking work: needs a Tokio runtime.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let (token, message) = (Arc::clone(&self.token), message.to_vec());
        let signing = tokio::task::spawn_blocking(move || token.sign(&message));
        signing.await.map_err(|_| SigningError::Unavailable { cause: code!("signing_interrupted") })?
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { token, label, .. } = &self.token.place;
        write!(f, "Pkcs11Key({token:?}, {label:?}, {:?}, {})", self.algorithm(), self.public.thumbprint())
    }
}

/// Where a key is, and what opens it.
struct Place {
    module: Pkcs11Module,
    token: String,
    label: String,
    pin: AuthPin,
}

/// A key in use.
struct Token {
    place: Place,
    algorithm: KeyAlgorithm,
    public: PublicKey,
    state: Mutex<State>,
}

/// Whether the key can be used now.
enum State {
    Open(Open),
    /// The session is gone; the next signature opens another.
    Lost,
    /// The PIN was refused, and is not tried again.
    PinRefused,
}

/// A session that is logged in, and the key in it.
struct Open {
    session: Session,
    key: ObjectHandle,
}

impl Place {
    fn open(&self) -> Result<(Open, PublicKey), Pkcs11Error> {
        let slot = self.module.slot(&self.token)?;
        let session = self.module.0.open_ro_session(slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // Keys of one token share what the token knows of this process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                return Err(Pkcs11Error::WrongPin { token: self.token.clone() });
            }
            Err(Error::Pkcs11(RvError::PinLocked | RvError::PinExpired, _)) => {
                return Err(Pkcs11Error::PinLocked { token: self.token.clone() });
            }
            Err(error) => return Err(error.into()),
        }
        let key = self.only(session.find_objects(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(self.label.clone().into_bytes()),
        ])?)?;
        let id = session.get_attributes(key, &[AttributeType::Id])?.into_iter().find_map(|attribute| match attribute {
            Attribute::Id(id) if !id.is_empty() => Some(id),
            _ => None,
        });
        let no_public = || Pkcs11Error::NoPublicKey { label: self.label.clone() };
        let halves = session
            .find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.ok_or_else(no_public)?)])?;
        let [half] = halves.as_slice() else { return Err(no_public()) };
        let wanted = [
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let public = public_key(&session.get_attributes(*half, &wanted)?)
            .ok_or_else(|| Pkcs11Error::UnfitKey { label: self.label.clone() })?;
        Ok((Open { session, key }, public))
    }

    fn only(&self, found: Vec<ObjectHandle>) -> Result<ObjectHandle, Pkcs11Error> {
        let (token, label) = (self.token.clone(), self.label.clone());
        match found.as_slice() {
            [key] => Ok(*key),
            [] => Err(Pkcs11Error::NoKey { token, label }),
            _ => Err(Pkcs11Error::TwoKeys { token, label }),
        }
    }
}

impl Token {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        // Whoever panicked in between has left a state that the token itself judges.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reopened = false;
        loop {
            match &*state {
                State::PinRefused => return Err(unavailable(code!("pin_refused"))),
                State::Lost => *state = self.reopened()?,
                State::Open(open) => match self.sign_in(open, message) {
                    Ok(signature) if self.has_length_of(&signature) => return Ok(signature),
                    Ok(_) => return Err(SigningError::Malformed),
                    Err(error) if is_lost(&error) => {
                        *state = State::Lost;
                        if reopened {
                            return Err(unavailable(code!("session_lost")));
                        }
                        reopened = true;
                    }
                    Err(error) => return Err(unavailable(Pkcs11Error::from(error).code())),
                },
            }
        }
    }

    /// Another session, in which the same key is.
    fn reopened(&self) -> Result<State, SigningError> {
        match self.place.open() {
            Ok((open, public)) if public == self.public => Ok(State::Open(open)),
            Ok(_) => Err(unavailable(code!("key_replaced"))),
            Err(Pkcs11Error::WrongPin { .. } | Pkcs11Error::PinLocked { .. }) => Ok(State::PinRefused),
            Err(error) => Err(unavailable(error.code())),
        }
    }

    fn sign_in(&self, open: &Open, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self.algorithm {
            // Not every token hashes by itself for ECDSA.
            KeyAlgorithm::EcdsaP256Sha256 => {
                open.session.sign(&Mechanism::Ecdsa, open.key, Sha256::digest(message).as_slice())
            }
            _ => open.session.sign(&Mechanism::Sha256RsaPkcs, open.key, message),
        }
    }

    fn has_length_of(&self, signature: &[u8]) -> bool {
        match self.public.parts() {
            PublicKeyParts::Rsa { n, .. } => signature.len() == n.len(),
            _ => signature.len() == 64,
        }
    }
}

fn unavailable(cause: Code) -> SigningError {
    SigningError::Unavailable { cause }
}

/// Whether another session may help. A token that was pulled out and put back has forgotten the handles, and who was logged in.
fn is_lost(error: &Error) -> bool {
    use RvError::{
        CryptokiNotInitialized, DeviceError, DeviceRemoved, KeyHandleInvalid, ObjectHandleInvalid, SessionClosed,
        SessionHandleInvalid, TokenNotPresent, UserNotLoggedIn,
    };
    matches!(
        error,
        Error::Pkcs11(
            SessionHandleInvalid
                | SessionClosed
                | UserNotLoggedIn
                | KeyHandleInvalid
                | ObjectHandleInvalid
                | DeviceRemoved
                | DeviceError
                | TokenNotPresent
                | CryptokiNotInitialized,
            _
        )
    )
}

/// The public key that attributes of an object describe, if it is of a known algorithm and strong enough.
fn public_key(attributes: &[Attribute]) -> Option<PublicKey> {
    let (mut kind, mut params, mut point, mut modulus, mut exponent) = (None, None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(key_type) => kind = Some(*key_type),
            Attribute::EcParams(bytes) => params = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    if kind == Some(KeyType::EC) && params.is_some_and(|params| *params == P256) {
        let point = point?;
        // An OCTET STRING that holds the point (PKCS#11 section 6.3.3); some tokens give the point as it is.
        let point = point.strip_prefix(&[0x04, 0x41]).filter(|bare| bare.len() == 65).unwrap_or(point);
        let key = p256::PublicKey::from_sec1_bytes(point).ok()?;
        return PublicKey::from_spki_der(key.to_public_key_der().ok()?.as_bytes()).ok();
    }
    if kind == Some(KeyType::RSA) {
        let numbers = [UintRef::new(modulus?).ok()?.to_der().ok()?, UintRef::new(exponent?).ok()?.to_der().ok()?];
        let body = numbers.concat();
        let key = AnyRef::new(Tag::Sequence, &body).ok()?.to_der().ok()?;
        return PublicKey::from_pkcs1(&key);
    }
    None
}
