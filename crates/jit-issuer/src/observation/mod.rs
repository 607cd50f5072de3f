//! Use of access, as targets log it: parsers that join a line of a target's log back to grant, decision and evidence.
//!
//! A line is what somebody else wrote, and parts of it may be chosen by whoever attacks the target. A parser accepts exactly the
//! line that its target writes when access is used, in bounded time, and nothing that merely contains it.

mod csvlog;
mod sshd;

pub use crate::role_name::{RoleNameError, RolePrefix};
pub use csvlog::{CsvRecordError, CsvRecords, MAX_CSV_RECORD, PostgresLineError, PostgresUse};
pub use sshd::{MAX_SSHD_LINE, SshdLineError, SshdLogin, UnknownAuthority};
