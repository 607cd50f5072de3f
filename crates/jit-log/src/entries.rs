//! Entry bundles: up to 256 entries in one file (C2SP tlog-tiles, "Log entries").

/// Longest entry in bytes: its length is written in two bytes.
pub const MAX_ENTRY_LEN: usize = 65_535;

/// A bundle being written: each entry after its length as a big-endian `uint16`.
///
/// ```
/// use jit_log::EntryBundle;
///
/// let mut bundle = EntryBundle::new();
/// bundle.push(b"first")?;
/// bundle.push(b"second")?;
/// assert_eq!(EntryBundle::parse(bundle.as_bytes())?, [b"first".as_slice(), b"second"]);
/// # Ok::<(), jit_log::EntryError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryBundle {
    bytes: Vec<u8>,
    entries: usize,
}

impl EntryBundle {
    /// A bundle without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Splits the file of a bundle into its entries.
    ///
    /// # Errors
    ///
    /// [`EntryError::TooMany`] beyond 256 entries, [`EntryError::Truncated`] if the last one is cut.
    pub fn parse(file: &[u8]) -> Result<Vec<&[u8]>, EntryError> {
        let mut entries = Vec::new();
        let mut rest = file;
        while !rest.is_empty() {
            if entries.len() == 256 {
                return Err(EntryError::TooMany);
            }
            let truncated = EntryError::Truncated { entries: entries.len() };
            let (length, tail) = rest.split_first_chunk().ok_or(truncated.clone())?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, tail) = tail.split_at_checked(length).ok_or(truncated)?;
            entries.push(entry);
            rest = tail;
        }
        Ok(entries)
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`EntryError::TooLong`] beyond [`MAX_ENTRY_LEN`], [`EntryError::TooMany`] beyond 256 entries;
    /// the bundle is unchanged.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), EntryError> {
        if self.entries == 256 {
            return Err(EntryError::TooMany);
        }
        let length = u16::try_from(entry.len()).map_err(|_| EntryError::TooLong { bytes: entry.len() })?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(entry);
        self.entries += 1;
        Ok(())
    }

    /// The file of the bundle.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file of the bundle.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Why bytes are not a bundle, or an entry does not fit in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// An entry exceeds [`MAX_ENTRY_LEN`].
    #[error("entry has {bytes} bytes, at most {MAX_ENTRY_LEN} are allowed")]
    TooLong {
        /// Length of the entry, in bytes.
        bytes: usize,
    },
    /// More than 256 entries.
    #[error("bundle has more than 256 entries")]
    TooMany,
    /// The file ends within an entry.
    #[error("bundle is cut after {entries} entries")]
    Truncated {
        /// Number of whole entries found.
        entries: usize,
    },
}
