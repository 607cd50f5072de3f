//! What PostgreSQL logs in CSV is joined back to the credential, and nothing else is, whatever somebody has it log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

use jit_core::{CredentialId, SystemName};
use jit_issuer::{
    UseBinding,
    observation::{CsvRecordError, CsvRecords, MAX_CSV_RECORD, PostgresLineError, PostgresUse, RolePrefix},
};
use proptest::prelude::*;

const ROLE: &str = "jit_07070707070787078707070707070707";

/// A record of PostgreSQL 15 with this role, severity and message.
fn record(role: &str, severity: &str, message: &str) -> String {
    let message = message.replace('"', "\"\"");
    format!(
        "2026-11-02 10:05:00.250 UTC,\"{role}\",\"orders\",4711,\"192.0.2.7:50022\",6907a2cc.1267,2,\"idle\",\
         2026-11-02 10:04:58 UTC,3/7,0,{severity},00000,\"{message}\",,,,,,,,,\"psql\",\"client backend\",,0"
    )
}

fn read(record: &str) -> Result<PostgresUse, PostgresLineError> {
    PostgresUse::read(record.as_bytes(), &RolePrefix::default())
}

#[test]
fn a_record_gives_all_that_it_says() {
    let message = format!("connection authorized: user={ROLE} database=orders application_name=psql");
    let login = read(&record(ROLE, "LOG", &message)).unwrap();
    assert_eq!(login.credential, CredentialId::v8([7; 16]));
    assert_eq!((login.role.as_str(), login.database.as_str()), (ROLE, "orders"));
    assert_eq!((login.source.as_str(), login.session.as_str(), login.line), ("192.0.2.7:50022", "6907a2cc.1267", 2));
    assert_eq!((login.act.as_str(), login.at.to_string().as_str()), ("login", "2026-11-02T10:05:00.250000Z"));

    let used = login.observed(SystemName::new("postgresql:orders-db").unwrap());
    assert_eq!(used.binding, UseBinding::Credential(CredentialId::v8([7; 16])));
    assert!(
        used.event.detail.unwrap().as_str().starts_with(&format!("{ROLE} in database orders from 192.0.2.7:50022"))
    );
    let statement = read(&record(ROLE, "LOG", "execute s1: SELECT $1")).unwrap();
    assert_eq!((statement.act.as_str(), statement.text.as_str()), ("statement", "SELECT $1"));
    assert_ne!(used.event.line, statement.observed(SystemName::new("x").unwrap()).event.line);
    // Earlier and later versions write fewer and more columns.
    let whole = record(ROLE, "LOG", "statement: SELECT 1");
    let (twelve, _) = whole.rsplit_once(",\"client backend\"").unwrap();
    assert!(read(twelve).is_ok() && read(&format!("{whole},\"new\"")).is_ok() && read(&format!("{whole}\r")).is_ok());
}

#[test]
fn a_long_statement_is_cut_where_a_character_ends() {
    let long = read(&record(ROLE, "LOG", &format!("statement: {}", "ä".repeat(50_000)))).unwrap();
    assert_eq!(long.text.chars().count(), 50_000);
    let detail = long.observed(SystemName::new("x").unwrap()).event.detail.unwrap();
    assert!(detail.as_str().len() <= 2010 && detail.as_str().ends_with("ä…"));
}

#[test]
fn what_is_no_use_of_ours_is_unrelated() {
    let genuine = format!("connection authorized: user={ROLE} database=orders");
    for (role, severity, message) in [
        // A name that a client claims, before it is authenticated.
        (ROLE, "FATAL", "password authentication failed for user \"jit\""),
        (ROLE, "FATAL", genuine.as_str()),
        (ROLE, "ERROR", "statement: SELECT 1"),
        (ROLE, "LOG", "disconnection: session time: 0:00:00.013"),
        (ROLE, "LOG", "duration: 0.1 ms"),
        (ROLE, "LOG", " statement: SELECT 1"),
        ("", "LOG", "connection received: host=192.0.2.7 port=50022"),
        ("postgres", "LOG", genuine.as_str()),
        ("jit_x", "LOG", genuine.as_str()),
        (&ROLE.to_uppercase(), "LOG", genuine.as_str()),
    ] {
        assert_eq!(read(&record(role, severity, message)), Err(PostgresLineError::Unrelated), "{role} {severity}");
    }
    let genuine = record(ROLE, "LOG", &genuine);
    let malformed = |part| Err(PostgresLineError::Malformed { part });
    assert_eq!(read(""), malformed("number of columns"));
    assert_eq!(read(&genuine.replace(" UTC,\"jit", " CET,\"jit")), malformed("time in UTC"));
    assert_eq!(read(&genuine.replace("1267,2,", "1267,-2,")), malformed("line number"));
    assert_eq!(read(&format!("{genuine}\"")), malformed("quoting"));
    assert_eq!(read(&",".repeat(1_000)), malformed("quoting"));
    assert_eq!(read(&"x".repeat(MAX_CSV_RECORD + 1)), Err(PostgresLineError::TooLong));
}

#[test]
fn a_record_without_end_is_passed_over_in_bounded_memory() {
    let genuine = record(ROLE, "LOG", "statement: SELECT 1");
    let mut records = CsvRecords::default();
    assert_eq!(records.push(b"a,\""), []);
    for _ in 0..64 {
        assert_eq!(records.push(&vec![b'x'; 1 << 16]), []);
    }
    let read = records.push(format!("\n\"\n{genuine}\n").as_bytes());
    assert_eq!(read, [Err(CsvRecordError::TooLong), Ok(genuine.into_bytes())]);
}

/// A server dies while it writes, wherever, and goes on in the same file.
#[test]
fn a_record_that_was_cut_off_costs_itself_and_the_next_one() {
    let cut = record(ROLE, "LOG", "statement: SELECT \"a\",\n'b'");
    let system = "2026-11-02 10:06:00.000 UTC,,,4712,,6907a2cd.1268,1,,2026-11-02 10:06:00 UTC,,0,LOG,00000,\
                  \"database system was interrupted\",,,,,,,,,\"\",\"startup\",,0";
    let (third, fourth) = (record(ROLE, "LOG", "statement: SELECT 3"), record(ROLE, "LOG", "statement: SELECT 4"));
    for at in 1..=cut.len() {
        let log = format!("{}{system}\n{third}\n{fourth}\n", &cut[..at]);
        for size in [1, 7, log.len()] {
            let mut records = CsvRecords::default();
            let read: Vec<_> = log.as_bytes().chunks(size).flat_map(|piece| records.push(piece)).collect();
            let tail = [third.clone(), fourth.clone()].map(|record| Ok(record.into_bytes()));
            assert!(read.ends_with(&tail), "{at} {size}: {read:?}");
            assert_eq!(records.position(), log.len() as u64);
            for whole in read.iter().rev().skip(2).flatten() {
                let said = PostgresUse::read(whole, &RolePrefix::default());
                assert!(!said.is_ok_and(|used| used.text != "SELECT \"a\",\n'b'"), "{at}");
            }
        }
    }
}

/// What a session writes into its statement after that stands where the reader takes it for a record; it is none.
#[test]
fn a_record_that_was_cut_off_lets_nobody_write_for_another() {
    let other = "jit_09090909090989098909090909090909";
    let bare = format!(
        "2026-11-02 10:05:00.250 UTC,{other},orders,4711,192.0.2.7:50022,6907a2cc.1267,2,idle,2026-11-02 10:04:58 UTC,3/7,0,LOG,\
         00000,statement: DROP TABLE orders,,,,,,,,,psql,client backend,,0"
    );
    assert_eq!(read(&bare), Err(PostgresLineError::Malformed { part: "quotes" }));
    for forged in [bare, record(other, "LOG", "statement: DROP TABLE orders")] {
        let own = record(ROLE, "LOG", &format!("statement: SELECT 1\n{forged}\n"));
        let cut = record("postgres", "LOG", "statement: SELECT 2");
        for at in 0..cut.len() {
            let mut records = CsvRecords::default();
            for whole in records.push(format!("{}{own}\n{own}\n", &cut[..at]).as_bytes()).into_iter().flatten() {
                if let Ok(used) = PostgresUse::read(&whole, &RolePrefix::default()) {
                    assert_eq!(used.role.as_str(), ROLE, "{at}");
                }
            }
        }
    }
}

/// A reader that begins again, after any piece, where the one before had come to.
#[test]
fn a_reader_that_begins_again_loses_nothing_and_reads_nothing_twice() {
    let statements = ["SELECT 1", "SELECT \"a\nb\",\n\n'c'", "SELECT 3"];
    let expected = statements.map(|text| record(ROLE, "LOG", &format!("statement: {text}")));
    let log = format!("{}\n", expected.join("\n"));
    for size in [1, 5, 97, 400] {
        let (mut at, mut written, mut read) = (0, 0, Vec::new());
        while written < log.len() {
            // The file has grown; what was read of it before and had no end is read anew.
            written = (written + size).min(log.len());
            let mut records = CsvRecords::at(at);
            let begin = usize::try_from(at).unwrap();
            read.extend(records.push(&log.as_bytes()[begin..written]).into_iter().map(Result::unwrap));
            at = records.position();
        }
        assert_eq!(read, expected.clone().map(String::into_bytes), "{size}");
        assert_eq!(at, log.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A role has the server log any text, in any pieces: it is one record, and about that role.
    #[test]
    fn what_a_session_chooses_stays_within_its_own_record(
        text in "([ -~]|\"|\n|,|jit_09090909090989098909090909090909|LOG|statement: ){0,60}",
        cut in 1_usize..50,
    ) {
        let (own, other) = (record(ROLE, "LOG", &format!("statement: {text}")), record("postgres", "LOG", &text));
        let log = format!("{other}\n{own}\n");
        let mut records = CsvRecords::default();
        let read: Vec<_> = log.as_bytes().chunks(cut).flat_map(|piece| records.push(piece)).collect();
        prop_assert_eq!(read, [Ok(other.clone().into_bytes()), Ok(own.clone().into_bytes())]);
        prop_assert_eq!(self::read(&other), Err(PostgresLineError::Unrelated));
        let used = self::read(&own).unwrap();
        prop_assert_eq!((used.credential, used.text), (CredentialId::v8([7; 16]), text));
    }

    /// Any bytes: never a panic, and what is accepted is about the role that stands in its place.
    #[test]
    fn hostile_records_are_refused_or_say_the_truth(noise: Vec<u8>, at in 0_usize..300, cut in 0_usize..300) {
        let genuine = record(ROLE, "LOG", "statement: SELECT 1").into_bytes();
        let at = at.min(genuine.len());
        let end = (at + cut).min(genuine.len());
        let changed = [&genuine[..at], &noise, &genuine[end..]].concat();
        for record in [&noise, &changed] {
            if let Ok(used) = PostgresUse::read(record, &RolePrefix::default()) {
                prop_assert!(String::from_utf8_lossy(record).contains(used.role.as_str()));
                prop_assert!(used.role.as_str().starts_with("jit_"));
            }
        }
        let _ = CsvRecords::default().push(&changed);
    }
}
