//! The line that sshd logs when it accepts a certificate (`auth_log` and `auth2_record_info` of OpenSSH).

use std::net::IpAddr;

use data_encoding::BASE64_NOPAD;
use jit_core::{AccessObserved, ExternalDigest, ExternalId, Prose, SystemName, Timestamp, code};
use sha2::{Digest as _, Sha256};

use crate::{
    reason::CredentialReason,
    used::{ObservedUse, UseBinding},
};

/// The longest line that is read, in bytes; sshd itself cuts its lines at 1,024.
pub const MAX_SSHD_LINE: usize = 2048;

/// A login with a certificate, as sshd logged it.
///
/// ```
/// use jit_issuer::observation::SshdLogin;
/// let line = concat!(
///     "2026-11-02T10:05:00.250000+00:00 web-1 sshd[4711]: Accepted publickey for deploy from 192.0.2.7 port 50022 ssh2: ",
///     "ED25519-CERT SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ID ",
///     r#"{"g":"01010101-0101-8101-8101-010101010101","d":"02020202-0202-8202-8202-020202020202","#,
///     r#""e":"sha256:0303030303030303030303030303030303030303030303030303030303030303"}"#,
///     " (serial 42) CA ED25519 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
/// );
/// let login = SshdLogin::from_syslog(line)?;
/// assert_eq!(login.reason.grant.to_string(), "01010101-0101-8101-8101-010101010101");
/// assert_eq!((login.user.as_str(), login.serial), ("deploy", 42));
/// assert_eq!(login.at.to_string(), "2026-11-02T10:05:00.250000Z");
/// # Ok::<(), jit_issuer::observation::SshdLineError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshdLogin {
    /// Why the certificate exists: its key id.
    pub reason: CredentialReason,
    /// The serial number of the certificate.
    pub serial: u64,
    /// SHA-256 of the public key that the certificate certifies, as `ssh-keygen -l` shows it in base64.
    pub key: ExternalDigest,
    /// SHA-256 of the public key of the authority that signed the certificate.
    pub authority: ExternalDigest,
    /// The account that was logged in to.
    pub user: ExternalId,
    /// Where the connection came from.
    pub source: IpAddr,
    /// The port there.
    pub port: u16,
    /// When.
    pub at: Timestamp,
    digest: ExternalDigest,
}

/// A line is no login with a certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SshdLineError {
    /// It says something else: another event, or a login by other means.
    #[error("line says nothing about a certificate")]
    Unrelated,
    /// The certificate's key id is no reason of a credential: somebody else's certificate.
    #[error("key id is not the reason of a credential")]
    OtherKeyId,
    /// It is longer than [`MAX_SSHD_LINE`] bytes.
    #[error("line is longer than {MAX_SSHD_LINE} bytes")]
    TooLong,
    /// It begins as such a line and is not one.
    #[error("line has no valid {part}")]
    Malformed {
        /// What is wrong with it.
        part: &'static str,
    },
}

/// A certificate was signed by an authority that is none of ours, so that what it says of its reason proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("certificate with serial {serial} was signed by another authority")]
pub struct UnknownAuthority {
    /// The serial number.
    pub serial: u64,
}

impl SshdLogin {
    /// Reads a line as rsyslog writes it by default: an RFC 3339 time, the host, `sshd[<pid>]:` and the message. `sshd-session` and
    /// `sshd-auth`, the names since OpenSSH 9.8, are the same.
    ///
    /// # Errors
    /// [`SshdLineError`] if it is another line. Times without year and offset are [`SshdLineError::Malformed`].
    pub fn from_syslog(line: &str) -> Result<Self, SshdLineError> {
        if line.len() > MAX_SSHD_LINE {
            return Err(SshdLineError::TooLong);
        }
        let mut words = line.trim_end_matches(['\r', '\n']).splitn(4, ' ');
        let (Some(at), Some(_host), Some(tag), Some(message)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(SshdLineError::Unrelated);
        };
        if !is_tag(tag) {
            return Err(SshdLineError::Unrelated);
        }
        let at = Timestamp::parse_rfc3339(at).map_err(|_| SshdLineError::Malformed { part: "time" })?;
        Self::from_message(message, at)
    }

    /// Reads the message alone, with the time at which it was logged: from a journal (`MESSAGE`, `__REALTIME_TIMESTAMP`), or any
    /// other place that keeps them apart.
    ///
    /// # Errors
    /// [`SshdLineError`] if it is another message.
    pub fn from_message(message: &str, at: Timestamp) -> Result<Self, SshdLineError> {
        if message.len() > MAX_SSHD_LINE {
            return Err(SshdLineError::TooLong);
        }
        // The start is anchored: names that a client chooses stand in other messages, and could hold a copy of this one.
        let rest = message.strip_prefix("Accepted publickey for ").ok_or(SshdLineError::Unrelated)?;
        let (user, rest) = cut(rest, " from ", "user")?;
        let (source, rest) = cut(rest, " port ", "source address")?;
        let (port, rest) = cut(rest, " ssh2: ", "port")?;
        let (kind, rest) = cut(rest, " ", "key type")?;
        if !kind.ends_with("-CERT") {
            return Err(SshdLineError::Unrelated);
        }
        let (key, rest) = cut(rest, " ID ", "key fingerprint")?;
        let (key_id, rest) = cut(rest, " (serial ", "key id")?;
        let (serial, rest) = cut(rest, ") CA ", "serial number")?;
        let (_kind, authority) = cut(rest, " ", "authority")?;
        Ok(Self {
            reason: key_id.parse().map_err(|_| SshdLineError::OtherKeyId)?,
            serial: number(serial).ok_or(SshdLineError::Malformed { part: "serial number" })?,
            key: fingerprint(key, "key fingerprint")?,
            authority: fingerprint(authority, "authority")?,
            user: self::user(user).ok_or(SshdLineError::Malformed { part: "user" })?,
            source: address(source).ok_or(SshdLineError::Malformed { part: "source address" })?,
            port: number(port).ok_or(SshdLineError::Malformed { part: "port" })?,
            at,
            // However the line came here, from syslog or a journal, it is the same line.
            digest: ExternalDigest::from_bytes(Sha256::digest(format!("{at} {message}")).into()),
        })
    }

    /// The use of the access, for `Broker::observe`, if one of these authorities signed the certificate: joined by the reason that is
    /// the certificate's key id.
    ///
    /// # Errors
    /// [`UnknownAuthority`] if none of them did: whoever has another authority that the target trusts can write any key id.
    pub fn observed(
        &self,
        system: SystemName,
        authorities: &[ExternalDigest],
    ) -> Result<ObservedUse, UnknownAuthority> {
        if !authorities.contains(&self.authority) {
            return Err(UnknownAuthority { serial: self.serial });
        }
        let Self { user, source, port, serial, .. } = self;
        let detail = format!("login as {user} from {source} port {port} with certificate serial {serial}");
        Ok(ObservedUse {
            binding: UseBinding::Reason(self.reason),
            event: AccessObserved {
                system,
                occurred_at: self.at,
                act: code!("login"),
                detail: Prose::new(detail).ok(),
                by: None,
                line: Some(self.digest),
            },
        })
    }
}

fn cut<'a>(text: &'a str, at: &str, part: &'static str) -> Result<(&'a str, &'a str), SshdLineError> {
    text.split_once(at).ok_or(SshdLineError::Malformed { part })
}

/// `sshd[4711]:`
fn is_tag(tag: &str) -> bool {
    let pid = tag.strip_suffix("]:").and_then(|tag| tag.split_once('['));
    pid.is_some_and(|(program, pid)| {
        matches!(program, "sshd" | "sshd-session" | "sshd-auth") && number::<u32>(pid).is_some()
    })
}

/// Digits only: what `FromStr` would also take, a sign for example, is in no log.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn user(text: &str) -> Option<ExternalId> {
    if text.contains(char::is_whitespace) { None } else { ExternalId::new(text).ok() }
}

/// The zone of a link-local address (`fe80::1%eth0`) means nothing elsewhere.
fn address(text: &str) -> Option<IpAddr> {
    text.split_once('%').map_or(text, |(address, _zone)| address).parse().ok()
}

fn fingerprint(text: &str, part: &'static str) -> Result<ExternalDigest, SshdLineError> {
    let bytes = text.strip_prefix("SHA256:").and_then(|digest| BASE64_NOPAD.decode(digest.as_bytes()).ok());
    match bytes.map(<[u8; 32]>::try_from) {
        Some(Ok(digest)) => Ok(ExternalDigest::from_bytes(digest)),
        _ => Err(SshdLineError::Malformed { part }),
    }
}
