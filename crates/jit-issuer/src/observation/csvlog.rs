//! What PostgreSQL logs in CSV when a role of ours comes in and acts (`log_destination = 'csvlog'`, PostgreSQL 12 to 18).

use std::borrow::Cow;

use jit_core::{AccessObserved, Code, CredentialId, ExternalDigest, ExternalId, Prose, SystemName, Timestamp, code};
use sha2::{Digest as _, Sha256};

use crate::{
    role_name::RolePrefix,
    used::{ObservedUse, UseBinding},
};

/// The longest record that is read, in bytes. A longer one is passed over, whatever its length.
pub const MAX_CSV_RECORD: usize = 262_144;

/// No version writes as many columns.
const MAX_COLUMNS: usize = 64;
/// PostgreSQL 12 writes this many; later versions write more after them.
const MIN_COLUMNS: usize = 23;
/// How much of a statement is put on record, in bytes.
const MAX_DETAIL: usize = 2000;

/// Cuts a log into records as it grows: a record ends with its line, unless the line ends within quotes. Takes the file in pieces of
/// any size and keeps one record at most.
///
/// Each file of the log needs a reader of its own. A server that dies while it writes may leave a record without its end. If it goes on
/// in the same file, the record that it writes next is lost too, and the reader finds the beginning of the one after that: a line that
/// begins with a time and the quoted name of a role, which a session cannot have written within quotes.
///
/// ```
/// use jit_issuer::observation::CsvRecords;
/// let mut records = CsvRecords::default();
/// assert!(records.push(b"2026-11-02 10:05:00.250 UTC,\"a mul").is_empty());
/// let read = records.push(b"ti-line\nfield\"\n2026");
/// assert_eq!(read, [Ok(b"2026-11-02 10:05:00.250 UTC,\"a multi-line\nfield\"".to_vec())]);
/// // A reader that begins here, after a restart, gets the rest, whole and once.
/// let again = CsvRecords::at(records.position());
/// assert_eq!(again.position(), 49);
/// ```
#[derive(Debug, Default)]
pub struct CsvRecords {
    record: Vec<u8>,
    quoted: bool,
    too_long: bool,
    /// How the line begins that is being read, if it is not the first of its record.
    line: Option<Vec<u8>>,
    /// Where the record begins, and how far the file was read.
    begin: u64,
    read: u64,
}

impl CsvRecords {
    /// A reader of what a file holds from a [`position`](Self::position) on.
    #[must_use]
    pub fn at(position: u64) -> Self {
        Self { begin: position, read: position, ..Self::default() }
    }

    /// Where the first record begins in the file that has not ended yet. Whoever begins again reads on from here, so that a record
    /// that was half written is not lost and none comes twice. In a file that nobody writes any more, a position before its end
    /// says that its last record was cut off.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.begin
    }

    /// The records that end in this piece of the log, without their line ends.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Result<Vec<u8>, CsvRecordError>> {
        let mut ended = Vec::new();
        for byte in piece {
            self.read = self.read.saturating_add(1);
            // A quote within quotes is doubled, which leaves the state as it was.
            self.quoted ^= *byte == b'"';
            if *byte == b'\n' && !self.quoted {
                ended.push(self.end(self.read, Ok(())));
                continue;
            }
            if self.record.len() < MAX_CSV_RECORD && !self.too_long {
                self.record.push(*byte);
            } else {
                self.too_long = true;
                self.record = Vec::new();
            }
            if *byte == b'\n' {
                self.line = Some(Vec::new());
            } else if let Some(line) = self.line.as_mut().filter(|line| line.len() < LONGEST_BEGINNING) {
                line.push(*byte);
                if begins_record(line) {
                    let begun = std::mem::take(line);
                    let begin = self.read.saturating_sub(begun.len() as u64);
                    ended.push(self.end(begin, Err(CsvRecordError::CutOff)));
                    // What was read of it ends with the first character within its first quotes.
                    (self.record, self.quoted) = (begun, true);
                }
            }
        }
        ended
    }

    /// Ends the record, and begins the next one there.
    fn end(&mut self, at: u64, whole: Result<(), CsvRecordError>) -> Result<Vec<u8>, CsvRecordError> {
        let next = Self { begin: at, read: self.read, ..Self::default() };
        let Self { record, too_long, .. } = std::mem::replace(self, next);
        if too_long { Err(CsvRecordError::TooLong) } else { whole.map(|()| record) }
    }
}

/// How many bytes of a line tell whether a record begins with it, at most: a time, the name of its zone, and the first quote.
const LONGEST_BEGINNING: usize = 48;
/// `2026-11-02 10:05:00.250 `, in which 0 stands for any digit.
const TIME: &[u8] = b"0000-00-00 00:00:00.000 ";

/// Whether this much of a line is `<time> <zone>,"` and a character. Within quotes each quote is doubled, and the last is followed by a
/// comma or a line end, so that nothing within quotes begins so.
fn begins_record(line: &[u8]) -> bool {
    let [before @ .., b',', b'"', last] = line else { return false };
    let Some((time, zone)) = before.split_at_checked(TIME.len()) else { return false };
    let as_time = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    time.iter().zip(TIME).all(as_time)
        && !zone.is_empty()
        && zone.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b':'))
        && !matches!(last, b'"' | b',' | b'\r')
}

/// A record was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvRecordError {
    /// It is longer than [`MAX_CSV_RECORD`].
    #[error("record is longer than {MAX_CSV_RECORD} bytes")]
    TooLong,
    /// It has no end: another one begins within its quotes. The server died while it wrote, and what it wrote next is lost too.
    #[error("record is cut off, and the one after it lost")]
    CutOff,
}

/// A role of ours came in or ran a statement, as PostgreSQL logged it.
///
/// ```
/// use jit_issuer::observation::{PostgresUse, RolePrefix};
/// let record = concat!(
///     r#"2026-11-02 10:05:00.250 UTC,"jit_07070707070787078707070707070707","orders",4711,"192.0.2.7:50022",6907a2cc.1267,2,"#,
///     r#""idle",2026-11-02 10:04:58 UTC,3/7,0,LOG,00000,"statement: SELECT ""total"","#, "\n",
///     r#"  id FROM orders",,,,,,,,,"psql","client backend",,0"#,
/// );
/// let used = PostgresUse::read(record.as_bytes(), &RolePrefix::default())?;
/// assert_eq!(used.credential.to_string(), "07070707-0707-8707-8707-070707070707");
/// assert_eq!(used.act.as_str(), "statement");
/// assert_eq!(used.text, "SELECT \"total\",\n  id FROM orders");
/// # Ok::<(), jit_issuer::observation::PostgresLineError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUse {
    /// The credential whose role it was.
    pub credential: CredentialId,
    /// The role, as it logged in; `SET ROLE` does not change it.
    pub role: ExternalId,
    /// The database.
    pub database: String,
    /// Where the connection came from, `<address>:<port>` or `[local]`.
    pub source: String,
    /// The session, as `%c` in other logs.
    pub session: String,
    /// The number of the line in its session.
    pub line: u64,
    /// `login`, or `statement`.
    pub act: Code,
    /// The statement, or what was said of the connection.
    pub text: String,
    /// When.
    pub at: Timestamp,
    digest: ExternalDigest,
}

/// A record does not tell of the use of a role of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresLineError {
    /// It says something else, or is about another role.
    #[error("record tells of no use of a role of ours")]
    Unrelated,
    /// It is longer than [`MAX_CSV_RECORD`] bytes.
    #[error("record is longer than {MAX_CSV_RECORD} bytes")]
    TooLong,
    /// It is not as PostgreSQL writes it.
    #[error("record has no valid {part}")]
    Malformed {
        /// What is wrong with it.
        part: &'static str,
    },
}

impl PostgresUse {
    /// Reads a record, for roles under this prefix. Logins need `log_connections`, statements `log_statement`, and times
    /// `log_timezone = 'UTC'`.
    ///
    /// Only what the server says after it has authenticated the role counts. What a session has the server log for it (`RAISE LOG`) stands
    /// under its own role, and can be about that one alone.
    ///
    /// # Errors
    /// [`PostgresLineError`] if it is another record.
    pub fn read(record: &[u8], prefix: &RolePrefix) -> Result<Self, PostgresLineError> {
        if record.len() > MAX_CSV_RECORD {
            return Err(PostgresLineError::TooLong);
        }
        let malformed = |part| PostgresLineError::Malformed { part };
        // Statements may be in another encoding than UTF-8; what joins is ASCII.
        let text = String::from_utf8_lossy(record);
        let columns = columns(text.strip_suffix('\r').unwrap_or(&text)).ok_or(malformed("quoting"))?;
        if columns.len() < MIN_COLUMNS {
            return Err(malformed("number of columns"));
        }
        let column = |n: usize| columns.get(n).map_or("", |column| column.text.as_ref());
        // The server quotes every text. What is part of a text and taken for a record has doubled quotes, or none.
        let quoted = |n: usize| columns.get(n).is_some_and(|column| column.quoted);
        let role = column(1);
        let (Some(credential), "LOG") = (prefix.credential_of_role(role), column(11)) else {
            // Before a role is authenticated its name is what a client claims; such records are FATAL, and tell of no use.
            return Err(PostgresLineError::Unrelated);
        };
        if !(quoted(1) && quoted(2) && quoted(13)) {
            return Err(malformed("quotes"));
        }
        let message = column(13);
        let (act, said) = if let Some(said) = message.strip_prefix("connection authorized: ") {
            (code!("login"), said)
        } else if let Some(said) = message.strip_prefix("statement: ") {
            (code!("statement"), said)
        } else if let Some((_portal, said)) = message.strip_prefix("execute ").and_then(|m| m.split_once(": ")) {
            (code!("statement"), said)
        } else {
            return Err(PostgresLineError::Unrelated);
        };
        Ok(Self {
            credential,
            role: ExternalId::new(role).map_err(|_| malformed("role"))?,
            database: column(2).to_owned(),
            source: column(4).to_owned(),
            session: column(5).to_owned(),
            line: column(6).parse().map_err(|_| malformed("line number"))?,
            act,
            text: said.to_owned(),
            at: utc(column(0)).ok_or(malformed("time in UTC"))?,
            digest: ExternalDigest::from_bytes(Sha256::digest(record).into()),
        })
    }

    /// The use, for `Broker::observe`: joined by the credential that the role is named after.
    #[must_use]
    pub fn observed(&self, system: SystemName) -> ObservedUse {
        let Self { role, database, source, session, text, .. } = self;
        let mut detail = format!("{role} in database {database} from {source}, session {session}: {text}");
        if detail.len() > MAX_DETAIL {
            let end = (0..=MAX_DETAIL).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
            detail.truncate(end);
            detail.push('…');
        }
        ObservedUse {
            binding: UseBinding::Credential(self.credential),
            event: AccessObserved {
                system,
                occurred_at: self.at,
                act: self.act.clone(),
                detail: Prose::new(detail).ok(),
                by: None,
                line: Some(self.digest),
            },
        }
    }
}

/// One field of a record.
struct Column<'r> {
    text: Cow<'r, str>,
    quoted: bool,
}

/// The fields of a record as `COPY … CSV` reads them: quoted ones with doubled quotes, others without any.
fn columns(record: &str) -> Option<Vec<Column<'_>>> {
    let mut columns = Vec::new();
    let mut rest = record;
    loop {
        if columns.len() == MAX_COLUMNS {
            return None;
        }
        let (column, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                let (inside, after) = quoted.split_at_checked(end)?;
                let text = if inside.contains('"') { inside.replace("\"\"", "\"").into() } else { inside.into() };
                (Column { text, quoted: true }, after.strip_prefix('"')?)
            }
            None => {
                let end = rest.find([',', '"', '\n']).unwrap_or(rest.len());
                let (inside, after) = rest.split_at_checked(end)?;
                (Column { text: inside.into(), quoted: false }, after)
            }
        };
        columns.push(column);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(columns),
            None => return None,
        }
    }
}

/// Where the quoted field ends: at the first quote that is not doubled.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut bytes = quoted.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'"' && bytes.next_if(|(_, next)| *next == b'"').is_none() {
            return Some(at);
        }
    }
    None
}

/// `2026-11-02 10:05:00.250 UTC`
fn utc(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT"))?.split_once(' ')?;
    Timestamp::parse_rfc3339(&format!("{date}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_as_copy_cuts_them() {
        let cut =
            |record| columns(record).map(|columns| columns.iter().map(|c| c.text.to_string()).collect::<Vec<_>>());
        let some = |columns: &[&str]| Some(columns.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(cut(""), some(&[""]));
        assert_eq!(cut("a,,b"), some(&["a", "", "b"]));
        assert_eq!(cut("\"a,\"\"b\"\"\n\",c"), some(&["a,\"b\"\n", "c"]));
        assert_eq!(cut("\"\",\"\"\"\""), some(&["", "\""]));
        for broken in ["\"a", "\"a\"b", "a\"b", "a\nb", "\"a\"\"", &",".repeat(MAX_COLUMNS)] {
            assert_eq!(cut(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn times_are_in_utc_or_nothing() {
        assert_eq!(
            utc("2026-11-02 10:05:00.250 UTC").map(|t| t.to_string()).as_deref(),
            Some("2026-11-02T10:05:00.250000Z")
        );
        for other in ["2026-11-02 10:05:00.250 CET", "2026-11-02 10:05:00.250", "2026-11-02T10:05:00Z", "", " UTC"] {
            assert_eq!(utc(other), None, "{other}");
        }
    }
}
