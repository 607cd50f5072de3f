//! One certificate (PROTOCOL.certkeys): its content, the bytes to sign, and the signed whole.

use std::sync::{Mutex, PoisonError};

use jit_core::{CredentialId, Window};
use ssh_key::{Certificate, Signature, certificate::Builder, public::KeyData};

use super::{
    options::{CriticalOptions, SshPermission},
    principals::Login,
    public_key::{SshPublicKey, signature_blob},
    serial::SshSerial,
    wire::Wire,
};
use crate::{key::KeyAlgorithm, reason::CredentialReason};

/// What a certificate says.
pub(super) struct Content<'a> {
    pub(super) nonce: [u8; 32],
    pub(super) holder: &'a SshPublicKey,
    pub(super) credential: CredentialId,
    pub(super) reason: CredentialReason,
    pub(super) logins: Vec<&'a Login>,
    pub(super) window: Window,
    pub(super) critical: CriticalOptions,
    pub(super) permissions: &'a [SshPermission],
}

/// A certificate that waits for its signature.
pub(super) struct Unsigned(Vec<u8>);

/// A certificate, as bytes and as the line of a `-cert.pub` file.
pub(super) struct Signed {
    pub(super) bytes: Vec<u8>,
    pub(super) line: String,
}

impl Content<'_> {
    /// The bytes that this authority signs; `None` if they cannot be encoded.
    pub(super) fn unsigned(&self, authority: &SshPublicKey) -> Option<Unsigned> {
        let recorder = Recorder { authority: authority.key_data().clone(), seen: Mutex::default() };
        // Fails by intent: the recorder does not sign.
        let _ = self.builder().ok()?.sign(&recorder);
        let seen = recorder.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.map(Unsigned)
    }

    fn builder(&self) -> ssh_key::Result<Builder> {
        let seconds = |at: jit_core::Timestamp| at.unix_seconds().unsigned_abs();
        let (after, before) = (seconds(self.window.start()), seconds(self.window.end()));
        let mut builder = Builder::new(self.nonce, self.holder.key_data().clone(), after, before)?;
        builder.serial(SshSerial::of(self.credential).get())?.key_id(self.reason.to_string())?;
        for login in &self.logins {
            builder.valid_principal(login.as_str())?;
        }
        if let Some(command) = &self.critical.force_command {
            builder.critical_option("force-command", command)?;
        }
        if let Some(networks) = &self.critical.source_address {
            builder.critical_option("source-address", networks)?;
        }
        for permission in self.permissions {
            builder.extension(permission.extension(), "")?;
        }
        Ok(builder)
    }
}

impl Unsigned {
    /// The bytes to sign.
    pub(super) fn message(&self) -> &[u8] {
        &self.0
    }

    /// The certificate with this signature over [`message`](Self::message); `None` if it is no signature of the algorithm.
    pub(super) fn signed(self, algorithm: KeyAlgorithm, signature: &[u8], credential: CredentialId) -> Option<Signed> {
        let mut bytes = Wire(self.0);
        bytes.string(&signature_blob(algorithm, signature)?).ok()?;
        let text = Certificate::from_bytes(&bytes.0).ok()?.to_openssh().ok()?;
        Some(Signed { bytes: bytes.0, line: format!("{} {credential}\n", text.trim_end()) })
    }
}

/// Stands in for the authority, whose key signs asynchronously: keeps the bytes to sign, and signs nothing.
struct Recorder {
    authority: KeyData,
    seen: Mutex<Option<Vec<u8>>>,
}

impl From<&Recorder> for KeyData {
    fn from(recorder: &Recorder) -> Self {
        recorder.authority.clone()
    }
}

impl signature::Signer<Signature> for Recorder {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.to_vec());
        Err(signature::Error::new())
    }
}
