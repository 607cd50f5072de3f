//! Which tokens are revoked: Token Status List (draft-ietf-oauth-status-list), one bit a token, kept as evidence tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    CredentialDescriptor, CredentialId, Event, EventError, ExternalId, IssuerName, Record, Seconds, Timestamp,
};
use serde::Serialize;

use crate::key::SigningError;

/// How many tokens share a list: the place of a token's intent in the log, divided by this, is the number of its list.
pub const LIST_LEN: u64 = 131_072;
/// The highest level: lists are small, and fetched more often than made.
const COMPRESSION: u8 = 9;

/// The `status` claim (section 6.1).
#[derive(Debug, Serialize)]
pub(super) struct Status {
    status_list: Reference,
}

#[derive(Debug, Serialize)]
struct Reference {
    idx: u64,
    uri: String,
}

/// The claims of a list (section 5.1).
#[derive(Serialize)]
pub(super) struct ListClaims {
    sub: String,
    iat: i64,
    exp: i64,
    ttl: u32,
    status_list: Bits,
}

#[derive(Serialize)]
struct Bits {
    bits: u8,
    lst: String,
}

/// The bit of a token: the list it is in, and its index there. It follows from the place of the token's intent in the log, so that
/// no two tokens share one, whoever minted them, and it stands in the descriptor's serial, `status_list:<list>/<index>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    list: u64,
    index: u64,
}

impl Place {
    pub(super) fn of_intent(log_index: u64) -> Self {
        Self { list: log_index / LIST_LEN, index: log_index % LIST_LEN }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status_list:{}/{}", self.list, self.index)
    }
}

impl FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (list, index) = text.strip_prefix("status_list:").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let place = Self { list: list.parse().map_err(|_| ())?, index: index.parse().map_err(|_| ())? };
        if place.index < LIST_LEN && place.to_string() == text { Ok(place) } else { Err(()) }
    }
}

/// The status lists of one issuer, rebuilt from its evidence: whoever applies the records of the log, in order, from a moment before
/// the oldest living token was issued, knows every bit. What is kept grows with the number of living tokens.
///
/// Any process may publish the lists that follows the log: within one [`ttl`](Self::ttl) it has applied the records of a moment, and says
/// so by [`followed_to`](Self::followed_to). One that is further behind, or has never followed, publishes nothing: its list would let
/// revoked tokens in again.
#[derive(Debug)]
pub struct StatusLists {
    issuer: IssuerName,
    base: ExternalId,
    ttl: Seconds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    living: BTreeMap<CredentialId, Token>,
    deaths: BTreeSet<(Timestamp, CredentialId)>,
    lists: BTreeMap<u64, List>,
    followed_to: Option<Timestamp>,
}

/// A list was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusListError {
    /// Tokens may have been revoked that are not known here: the log has not been followed, or only to a moment too long ago.
    #[error("status lists are behind: the log was followed {}", .followed_to.map_or("by nobody here".to_owned(), |at| format!("to {at}")))]
    Behind {
        /// Up to which moment all records have been applied.
        followed_to: Option<Timestamp>,
    },
    /// The list was not signed.
    #[error("status list was not signed")]
    NotSigned(#[from] SigningError),
}

#[derive(Debug)]
struct Token {
    place: Place,
    revoked: bool,
}

/// A list with a bit set; all others are zero throughout.
#[derive(Debug, Default)]
struct List {
    set: BTreeSet<u64>,
}

impl StatusLists {
    pub(super) fn new(issuer: IssuerName, base: ExternalId, ttl: Seconds) -> Self {
        Self { issuer, base, ttl, state: Mutex::default() }
    }

    /// For how long a copy of a list may be used.
    #[must_use]
    pub fn ttl(&self) -> Seconds {
        self.ttl
    }

    /// Learns from a record of the log: tokens of this issuer from `credential.issued`, and from `revocation.intended` that one is to be
    /// turned down. Other records are passed over, and a record applied twice changes nothing.
    ///
    /// # Errors
    /// [`EventError`] if the record cannot be read.
    pub fn apply(&self, record: &Record) -> Result<(), EventError> {
        let mut state = self.state();
        match record.event()? {
            Event::CredentialIssued(issued) if issued.descriptor.issuer == self.issuer => {
                state.learn(&issued.descriptor);
            }
            Event::RevocationIntended(_) => {
                if let Some(credential) = record.header().refs.credential {
                    state.revoke(credential);
                }
            }
            _ => {}
        }
        state.forget_dead(record.header().at);
        Ok(())
    }

    /// Says that all records up to this moment have been applied: what the clock read before the log had nothing more to give. Never goes
    /// back.
    pub fn followed_to(&self, at: Timestamp) {
        let mut state = self.state();
        state.followed_to = state.followed_to.max(Some(at));
    }

    /// The numbers of the lists that have a token revoked; every other list is zero throughout.
    #[must_use]
    pub fn with_revoked(&self) -> Vec<u64> {
        self.state().lists.keys().copied().collect()
    }

    /// When no list from before a revocation is used any more: one `ttl` for whoever publishes to learn of it, one for copies.
    pub(super) fn honoured_by(&self, revoked: Timestamp, leeway: Duration) -> Timestamp {
        revoked.saturating_add(self.ttl.to_duration().saturating_mul(2)).saturating_add(leeway)
    }

    /// `false` if the token has no place.
    pub(super) fn revoke(&self, descriptor: &CredentialDescriptor) -> bool {
        let mut state = self.state();
        let known = state.learn(descriptor);
        state.revoke(descriptor.id);
        known
    }

    pub(super) fn is_revoked(&self, credential: CredentialId) -> bool {
        self.state().living.get(&credential).is_some_and(|token| token.revoked)
    }

    pub(super) fn claim(&self, place: Place) -> Status {
        Status { status_list: Reference { idx: place.index, uri: self.uri(place.list) } }
    }

    pub(super) fn list_claims(&self, list: u64, now: Timestamp) -> Result<ListClaims, StatusListError> {
        let bytes = {
            let mut state = self.state();
            let followed_to = state.followed_to;
            if followed_to.is_none_or(|at| at.saturating_add(self.ttl.to_duration()) < now) {
                return Err(StatusListError::Behind { followed_to });
            }
            state.forget_dead(now);
            state.lists.get(&list).map(List::to_bytes)
        };
        let bytes = bytes.unwrap_or_else(|| List::default().to_bytes());
        let iat = now.unix_seconds();
        Ok(ListClaims {
            sub: self.uri(list),
            iat,
            exp: iat.saturating_add(self.ttl.get().into()),
            ttl: self.ttl.get(),
            status_list: Bits {
                bits: 1,
                lst: BASE64URL_NOPAD.encode(&miniz_oxide::deflate::compress_to_vec_zlib(&bytes, COMPRESSION)),
            },
        })
    }

    fn uri(&self, list: u64) -> String {
        format!("{}/{list}", self.base)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, descriptor: &CredentialDescriptor) -> bool {
        let Ok(place) = descriptor.serial.as_str().parse() else { return false };
        self.living.entry(descriptor.id).or_insert(Token { place, revoked: false });
        if let Some(dies_at) = descriptor.dies_at() {
            self.deaths.insert((dies_at, descriptor.id));
        }
        true
    }

    fn revoke(&mut self, credential: CredentialId) {
        if let Some(token) = self.living.get_mut(&credential) {
            token.revoked = true;
            self.lists.entry(token.place.list).or_default().set.insert(token.place.index);
        }
    }

    /// A dead token needs no bit.
    fn forget_dead(&mut self, now: Timestamp) {
        while let Some((dies_at, credential)) = self.deaths.first().copied().filter(|(dies_at, _)| *dies_at <= now) {
            self.deaths.remove(&(dies_at, credential));
            let Some(Token { place, .. }) = self.living.remove(&credential) else { continue };
            if let Some(list) = self.lists.get_mut(&place.list) {
                list.set.remove(&place.index);
                if list.set.is_empty() {
                    self.lists.remove(&place.list);
                }
            }
        }
    }
}

impl List {
    /// Section 4.1: the first status is the lowest bit of the first byte.
    fn to_bytes(&self) -> Vec<u8> {
        let length = usize::try_from(LIST_LEN / 8).unwrap_or(0);
        let mut bytes = vec![0_u8; length];
        for index in &self.set {
            let byte = usize::try_from(index / 8).ok().and_then(|at| bytes.get_mut(at));
            if let Some(byte) = byte {
                *byte |= 1 << (index % 8);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of one-bit statuses in section 4.1.
    #[test]
    fn the_bits_of_the_draft_are_reproduced() {
        let statuses = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1];
        let set = statuses.iter().zip(0..).filter(|(status, _)| **status == 1).map(|(_, index)| index).collect();
        assert_eq!(List { set }.to_bytes()[..2], [0xb9, 0xa3]);
        let compressed = BASE64URL_NOPAD.decode(b"eNrbuRgAAhcBXQ").unwrap();
        assert_eq!(miniz_oxide::inflate::decompress_to_vec_zlib(&compressed).unwrap(), [0xb9, 0xa3]);
    }

    #[test]
    fn every_intent_has_a_place_of_its_own() {
        let mut seen = BTreeSet::new();
        for index in (0..10).chain(LIST_LEN - 5..LIST_LEN + 5).chain([u64::MAX]) {
            let place = Place::of_intent(index);
            assert_eq!(place.to_string().parse(), Ok(place));
            assert!(seen.insert(place));
        }
        for bad in ["", "status_list:1", "status_list:1/131072", "status_list:01/2", "status_list:+1/2", "1/2"] {
            assert_eq!(bad.parse::<Place>(), Err(()), "{bad}");
        }
    }
}
