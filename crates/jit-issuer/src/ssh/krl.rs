//! Key revocation lists in OpenSSH's format (PROTOCOL.krl), version 1.

use std::collections::BTreeSet;

use jit_core::Timestamp;

use super::{
    public_key::SshPublicKey,
    serial::SshSerial,
    wire::{TooLong, Wire},
};

const MAGIC: u64 = 0x5353_484b_524c_0a00; // "SSHKRL\n\0"
const FORMAT: u32 = 1;
const CERTIFICATES: u8 = 1;
const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_ID: u8 = 0x23;

/// The largest list that is written, in bytes; OpenSSH reads no file above 128 MiB.
pub const MAX_KRL: usize = 64 * 1024 * 1024;
/// The widest bitmap in bits: OpenSSH reads no number above 16,384 bits.
const MAX_BITMAP: u64 = 16_000;
/// A run this long costs less as a range of its own than within a bitmap.
const LONG_RUN: u64 = 256;
/// Within this distance another bit of a bitmap costs less than another number of a list.
const NEAR: u64 = 64;

/// A list would be larger than [`MAX_KRL`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revocation list is larger than {MAX_KRL} bytes")]
pub struct KrlTooLarge;

impl From<TooLong> for KrlTooLarge {
    fn from(_: TooLong) -> Self {
        Self
    }
}

/// A key revocation list. The same content gives the same bytes.
///
/// ```
/// use std::num::NonZeroU64;
/// use jit_core::Timestamp;
/// use jit_issuer::ssh::{Krl, SshSerial};
/// let serial = SshSerial::new(NonZeroU64::MIN);
/// let bytes = Krl::new(7, Timestamp::EPOCH).revoke(None, [serial], ["someone's laptop".to_owned()]).to_bytes()?;
/// assert!(bytes.starts_with(b"SSHKRL\n\0"));
/// # Ok::<(), jit_issuer::ssh::KrlTooLarge>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Krl {
    number: u64,
    generated: Timestamp,
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    authority: Vec<u8>,
    serials: BTreeSet<SshSerial>,
    key_ids: BTreeSet<String>,
}

impl Krl {
    /// An empty list with this number, which should grow from list to list, made at this moment (whole seconds are written).
    #[must_use]
    pub fn new(number: u64, generated: Timestamp) -> Self {
        Self { number, generated, sections: Vec::new() }
    }

    /// Revokes certificates of this authority, or of any if there is none, by serial number and by key id.
    #[must_use]
    pub fn revoke(
        mut self,
        authority: Option<&SshPublicKey>,
        serials: impl IntoIterator<Item = SshSerial>,
        key_ids: impl IntoIterator<Item = String>,
    ) -> Self {
        self.sections.push(Section {
            authority: authority.map(SshPublicKey::to_wire).unwrap_or_default(),
            serials: serials.into_iter().collect(),
            key_ids: key_ids.into_iter().collect(),
        });
        self
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`KrlTooLarge`] past [`MAX_KRL`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, KrlTooLarge> {
        let mut out = Wire::default();
        out.u64(MAGIC);
        out.u32(FORMAT);
        out.u64(self.number);
        out.u64(self.generated.unix_seconds().unsigned_abs());
        out.u64(0); // flags
        out.string(b"")?; // reserved
        out.string(b"")?; // comment
        for section in &self.sections {
            out.byte(CERTIFICATES);
            out.string(&section.to_bytes()?)?;
        }
        if out.0.len() <= MAX_KRL { Ok(out.0) } else { Err(KrlTooLarge) }
    }
}

impl Section {
    fn to_bytes(&self) -> Result<Vec<u8>, KrlTooLarge> {
        let mut out = Wire::default();
        out.string(&self.authority)?;
        out.string(b"")?; // reserved
        for group in groups(&self.serials) {
            out.byte(group.kind);
            out.string(&group.data.0)?;
        }
        if !self.key_ids.is_empty() {
            let mut ids = Wire::default();
            for id in &self.key_ids {
                ids.string(id.as_bytes())?;
            }
            out.byte(KEY_ID);
            out.string(&ids.0)?;
        }
        Ok(out.0)
    }
}

/// One subsection of serial numbers.
struct Group {
    kind: u8,
    data: Wire,
}

/// Numbers that follow one another without a gap.
#[derive(Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
}

impl Run {
    /// One less than how many numbers it has.
    fn span(self) -> u64 {
        self.last.saturating_sub(self.first)
    }
}

/// The serial numbers as subsections in ascending order: long runs as ranges, numbers close to one another as bitmaps, the rest
/// as lists. One pass over the numbers.
fn groups(serials: &BTreeSet<SshSerial>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut cluster: Vec<Run> = Vec::new();
    for run in runs(serials) {
        let joins = run.span() < LONG_RUN
            && cluster.first().zip(cluster.last()).is_some_and(|(first, last)| {
                run.first.saturating_sub(last.last) < NEAR && run.last.saturating_sub(first.first) < MAX_BITMAP
            });
        if !joins {
            write_cluster(&cluster, &mut groups);
            cluster.clear();
        }
        cluster.push(run);
    }
    write_cluster(&cluster, &mut groups);
    groups
}

fn runs(serials: &BTreeSet<SshSerial>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for serial in serials.iter().map(|serial| serial.get()) {
        match runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(serial) => run.last = serial,
            _ => runs.push(Run { first: serial, last: serial }),
        }
    }
    runs
}

/// Runs close to one another, in the form that takes the fewest bytes. A long run is a cluster of its own, or the first of one.
fn write_cluster(cluster: &[Run], groups: &mut Vec<Group>) {
    let (Some(first), Some(last)) = (cluster.first(), cluster.last()) else { return };
    let span = last.last.saturating_sub(first.first);
    let as_list =
        cluster.iter().fold(0_u64, |sum, run| sum.saturating_add(run.span()).saturating_add(1)).saturating_mul(8);
    let as_ranges = cluster.iter().fold(0_u64, |sum, _| sum.saturating_add(21));
    let as_bitmap = if span < MAX_BITMAP { span / 8 + 19 } else { u64::MAX };
    if as_list <= as_ranges && as_list <= as_bitmap {
        write_list(cluster, groups);
    } else if as_ranges <= as_bitmap {
        cluster.iter().for_each(|run| groups.push(range(*run)));
    } else {
        groups.push(bitmap(first.first, span, cluster));
    }
}

/// Lists that follow one another share a subsection.
fn write_list(cluster: &[Run], groups: &mut Vec<Group>) {
    let numbers = cluster.iter().flat_map(|run| run.first..=run.last);
    match groups.last_mut().filter(|group| group.kind == SERIAL_LIST) {
        Some(list) => numbers.for_each(|number| list.data.u64(number)),
        None => {
            let mut data = Wire::default();
            numbers.for_each(|number| data.u64(number));
            groups.push(Group { kind: SERIAL_LIST, data });
        }
    }
}

fn range(run: Run) -> Group {
    let mut data = Wire::default();
    data.u64(run.first);
    data.u64(run.last);
    Group { kind: SERIAL_RANGE, data }
}

/// Bit `i` of the number stands for `offset + i`; the number is an `mpint` (RFC 4251 section 5), so big-endian and positive.
fn bitmap(offset: u64, span: u64, cluster: &[Run]) -> Group {
    let length = usize::try_from(span / 8).unwrap_or(0).saturating_add(1);
    let mut bytes = vec![0_u8; length];
    for bit in cluster.iter().flat_map(|run| run.first..=run.last).map(|serial| serial.saturating_sub(offset)) {
        let byte = usize::try_from(bit / 8).ok().and_then(|from_end| bytes.iter_mut().rev().nth(from_end));
        if let Some(byte) = byte {
            *byte |= 1 << (bit % 8);
        }
    }
    let sign = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut data = Wire::default();
    data.u64(offset);
    data.u32(u32::try_from(length.saturating_add(usize::from(sign))).unwrap_or(u32::MAX));
    if sign {
        data.byte(0);
    }
    data.0.extend_from_slice(&bytes);
    Group { kind: SERIAL_BITMAP, data }
}
