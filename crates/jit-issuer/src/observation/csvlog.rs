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
/// Each file of the log needs a reader of its own. A server that dies while it writes may leave a record without its end, and the
/// record after it is lost with it; where the server begins another file when it starts, that is the whole loss.
///
/// ```
/// use jit_issuer::observation::CsvRecords;
/// let mut records = CsvRecords::default();
/// assert!(records.push(b"2026-11-02 10:05:00.250 UTC,\"a mul").is_empty());
/// let read = records.push(b"ti-line\nfield\"\n2026");
/// assert_eq!(read, [Ok(b"2026-11-02 10:05:00.250 UTC,\"a multi-line\nfield\"".to_vec())]);
/// ```
#[derive(Debug, Default)]
pub struct CsvRecords {
    record: Vec<u8>,
    quoted: bool,
    too_long: bool,
}

impl CsvRecords {
    /// The records that end in this piece of the log, without their line ends.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Result<Vec<u8>, CsvRecordTooLong>> {
        let mut ended = Vec::new();
        for byte in piece {
            // A quote within quotes is doubled, which leaves the state as it was.
            self.quoted ^= *byte == b'"';
            if *byte == b'\n' && !self.quoted {
                let record = std::mem::take(&mut self.record);
                ended.push(if std::mem::take(&mut self.too_long) { Err(CsvRecordTooLong) } else { Ok(record) });
            } else if self.record.len() < MAX_CSV_RECORD && !self.too_long {
                self.record.push(*byte);
            } else {
                self.too_long = true;
                self.record = Vec::new();
            }
        }
        ended
    }
}

/// A record was passed over: it is longer than [`MAX_CSV_RECORD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record is longer than {MAX_CSV_RECORD} bytes")]
pub struct CsvRecordTooLong;

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
        let column = |n: usize| columns.get(n).map_or("", |column| column.as_ref());
        let role = column(1);
        let (Some(credential), "LOG") = (prefix.credential_of_role(role), column(11)) else {
            // Before a role is authenticated its name is what a client claims; such records are FATAL, and tell of no use.
            return Err(PostgresLineError::Unrelated);
        };
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

/// The fields of a record as `COPY … CSV` reads them: quoted ones with doubled quotes, others without any.
fn columns(record: &str) -> Option<Vec<Cow<'_, str>>> {
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
                let inside = if inside.contains('"') { inside.replace("\"\"", "\"").into() } else { inside.into() };
                (inside, after.strip_prefix('"')?)
            }
            None => {
                let end = rest.find([',', '"', '\n']).unwrap_or(rest.len());
                let (inside, after) = rest.split_at_checked(end)?;
                (inside.into(), after)
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
        let cut = |record| columns(record).map(|columns| columns.iter().map(ToString::to_string).collect::<Vec<_>>());
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
