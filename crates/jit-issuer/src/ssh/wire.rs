//! The data types of the SSH protocol that are written here (RFC 4251 section 5).

/// A string would not fit its length field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Bytes that grow.
#[derive(Debug, Default)]
pub(super) struct Wire(pub(super) Vec<u8>);

impl Wire {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn string(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.u32(u32::try_from(bytes.len()).map_err(|_| TooLong)?);
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
