//! Canonical JSON: the one sequence of bytes that a value has, so that a digest over it means the same to everyone.
//!
//! RFC 8785 (JCS) under the restrictions of the evidence format, section 2: UTF-8; integers within ±(2^53 − 1) and no other
//! numbers; no `null`; no duplicate keys; no U+0000; containers nest at most [`MAX_DEPTH`] deep; keys ascend by UTF-16 code units.
//!
//! - [`recognise`] says whether bytes *are* canonical, in one pass and without building anything. A verifier uses it on stored
//!   bytes, which it never serialises again.
//! - [`Value::parse`] reads JSON within the restrictions in any key order and with any white space, [`Value::to_bytes`] writes
//!   the canonical bytes.
//! - [`to_bytes`] and [`from_slice`] do the same for types that implement serde's traits. Absent is the only way to say nothing:
//!   a member that is `None` is left out.
//!
//! Errors name the rule and the byte offset, never what stood there: evidence may be confidential.
//!
//! ```
//! use jit_core::canonical::{self, Value};
//!
//! # fn main() -> Result<(), canonical::CanonicalError> {
//! let value = Value::parse(b"{ \"n\": 7, \"actor\": \"a\\u002fb\" }")?;
//! assert_eq!(value.to_bytes()?, b"{\"actor\":\"a/b\",\"n\":7}");
//! assert!(canonical::recognise(b"{\"actor\":\"a/b\",\"n\":7}").is_ok());
//! assert!(canonical::recognise(b"{\"n\":7,\"actor\":\"a/b\"}").is_err());
//! # Ok(())
//! # }
//! ```

mod error;
mod interchange;
#[cfg(test)]
mod known_answers;
mod object;
mod scan;
mod serializer;
mod value;
mod write;

pub use error::{CanonicalError, Violation};
pub use object::Object;
pub use value::{Int, Text, Value};

use serde::{Serialize, de::DeserializeOwned};

/// The largest magnitude of an integer, 2^53 − 1 (RFC 7493 section 2.2): every JSON reader holds it exactly.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// How many arrays and objects may nest: `[[…[]…]]` with 32 pairs of brackets is the deepest value.
pub const MAX_DEPTH: usize = 32;

/// Whether `bytes` are exactly the canonical bytes of some value. Linear in their length; recursion is bounded by [`MAX_DEPTH`].
///
/// # Errors
/// [`CanonicalError::At`] with the first rule that is broken and where.
pub fn recognise(bytes: &[u8]) -> Result<(), CanonicalError> {
    scan::recognise(bytes)
}

/// The value that `t` serialises to. An object member that is `None` or unit is left out.
///
/// # Errors
/// [`CanonicalError::Value`] for a float, an integer out of range, `None` anywhere but in an object member, a duplicate key, a
/// U+0000 or too deep a nesting; [`CanonicalError::Serialize`] for what has no canonical form or refuses to be serialised.
pub fn to_value<T: Serialize + ?Sized>(t: &T) -> Result<Value, CanonicalError> {
    serializer::to_value(t)
}

/// The canonical bytes that `t` serialises to, see [`to_value`].
///
/// # Errors
/// As [`to_value`].
pub fn to_bytes<T: Serialize + ?Sized>(t: &T) -> Result<Vec<u8>, CanonicalError> {
    to_value(t)?.to_bytes()
}

/// Reads `T` out of a value.
///
/// # Errors
/// [`CanonicalError::Value`] if the value nests too deep; [`CanonicalError::Deserialize`] if it is not of the shape of `T`.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, CanonicalError> {
    read(&value.to_bytes()?)
}

/// Reads `T` out of bytes, which must be canonical.
///
/// # Errors
/// [`CanonicalError::At`] if [`recognise`] refuses the bytes; [`CanonicalError::Deserialize`] if they are not of the shape of `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    recognise(bytes)?;
    read(bytes)
}

fn read<T: DeserializeOwned>(canonical: &[u8]) -> Result<T, CanonicalError> {
    // Canonical bytes are one line, so the column is the byte offset. The message is dropped: it may quote the value.
    serde_json::from_slice(canonical).map_err(|error| CanonicalError::Deserialize { offset: error.column() })
}
