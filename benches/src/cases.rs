//! Cases whose records are finished before they are appended: what a broker would have recorded.

use std::error::Error;
use std::time::Duration;

use crate::evidence_log::CLASS;
use jit_bench_load::EVENTS_PER_STREAM;
use jit_core::{
    Action, CaseId, CrashClass, CredentialId, CredentialIntended, Event, Expected, GrantId, Identity,
    IssuerCapabilities, IssuerName, LeafHash, PolicyDigest, PrincipalId, Record, Recorder, Refs, RequestRefused,
    RetentionClass, Scope, StreamHead, StreamId, Timestamp, Window, code,
};
use jit_store::{AppendRequest, BlobKey};

/// The size of a record of a case in bytes, about.
pub const RECORD: usize = 1200;
/// Records of this size and more are real ones; smaller ones have as little in them as a record can have.
const REAL: usize = 1000;
/// The digest of the policy that records cite.
const POLICY: [u8; 32] = [3; 32];

/// So many records for each caller, one case after another. They are made in the order in which the callers append them, so
/// that their ids ascend with time as in life.
pub fn records(
    recorder: &Recorder,
    callers: usize,
    each: usize,
    bytes: usize,
) -> Result<Vec<Vec<Record>>, Box<dyn Error>> {
    let mut all: Vec<Vec<Record>> = (0..callers).map(|_| Vec::with_capacity(each)).collect();
    for _ in 0..each {
        for own in &mut all {
            own.push(in_turn(recorder, own.last(), bytes).map_err(|error| error as Box<dyn Error>)?);
        }
    }
    Ok(all)
}

/// The record after `last` of its case, or the first of the next case.
///
/// # Errors
/// If there is no randomness.
pub fn in_turn(
    recorder: &Recorder,
    last: Option<&Record>,
    bytes: usize,
) -> Result<Record, Box<dyn Error + Send + Sync>> {
    let last = last.map(|record| (record.header().stream, record.head()));
    let (stream, head) = match last {
        Some((stream, head)) if head.n + 1 < EVENTS_PER_STREAM => (stream, Some(head)),
        _ => (StreamId::Case(case(recorder)?), None),
    };
    let (event, refs) = if bytes < REAL { (refused(), Refs::default()) } else { intended(recorder)? };
    let read = recorder.clock().now();
    let draft = recorder.draft(stream, event, refs, RetentionClass::new(CLASS)?, read)?;
    Ok(draft.seal(head, None)?)
}

/// Appends the record, which is the next of its stream.
pub fn request(record: Record) -> AppendRequest {
    let header = record.header();
    let before = header.prev.map(|leaf| StreamHead { n: header.n.saturating_sub(1), leaf });
    AppendRequest::new().records(header.stream, Expected::from_head(before), vec![record])
}

/// Appends the record together with the policy that all records cite.
pub fn first_request(record: Record) -> AppendRequest {
    request(record)
        .blob(BlobKey::from(PolicyDigest::from_bytes(POLICY)), b"whatever is asked for is permitted".to_vec())
}

fn case(recorder: &Recorder) -> Result<CaseId, Box<dyn Error + Send + Sync>> {
    Ok(CaseId::v7(recorder.clock().now().at, recorder.random()?))
}

fn refused() -> Event {
    RequestRefused { requester: None, code: code!("not_eligible"), count: 1 }.into()
}

/// A credential about to be minted: filed under one name, and due to be looked after.
fn intended(recorder: &Recorder) -> Result<(Event, Refs), Box<dyn Error + Send + Sync>> {
    let now: Timestamp = recorder.clock().now().at;
    let leaf = |byte: u8| LeafHash::from_bytes([byte; 32]);
    let event = CredentialIntended {
        issuer: IssuerName::new("sts.example/prod")?,
        capabilities: IssuerCapabilities {
            class: CrashClass::SelfContained,
            prepares: false,
            can_revoke: false,
            can_confirm: false,
            native_expiry: true,
            idempotent_mint: false,
            cuts_sessions: false,
            leeway_s: 60,
            min_ttl_s: 60,
            max_ttl_s: 3600,
        },
        subject: PrincipalId::Identity(Identity::new("idp.example", "u-1042")?),
        scope: Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?,
        issued: Window::new(now, now.saturating_add(Duration::from_secs(3600)))?,
        backdate_s: 0,
        holder_key: None,
        resolve_at: now.saturating_add(Duration::from_secs(60)),
    };
    let refs = Refs {
        request: Some(case(recorder)?),
        grant: Some(GrantId::v7(now, recorder.random()?)),
        credential: Some(CredentialId::v7(now, recorder.random()?)),
        decision: Some(leaf(1)),
        approved_by: Some(leaf(2)),
        policy: Some(PolicyDigest::from_bytes(POLICY)),
        ..Refs::default()
    };
    Ok((event.into(), refs))
}
