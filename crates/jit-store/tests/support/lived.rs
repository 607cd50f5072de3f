//! Cases as they are lived: with a request, a decision, an approval, a grant and a credential.
#![allow(clippy::panic, reason = "tests may panic")]

use std::time::Duration;

use jit_core::{
    Action, ApprovalMethod, ApprovalRecorded, CaseClosed, CaseId, Clock as _, CrashClass, CredentialDescriptor,
    CredentialId, CredentialIntended, CredentialIssued, Decision, Engine, EntitlementId, EvaluationPurpose, Event,
    Expected, ExternalDigest, ExternalId, ExternalRef, GrantApproved, GrantId, Identity, IssuerCapabilities,
    IssuerName, Justification, Kind, Obligations, Outcome, ParentGrant, PolicyDigest, PolicyEvaluated, Principal,
    PrincipalId, Record, Refs, Request, RetentionClass, Scope, SignalReceived, StreamHead, StreamId, SystemName,
    Version, Window, code,
};
use jit_store::{AppendRequest, Log};

use super::{CLASS, World, append, begin, case, draft, heartbeat, publish};

/// What stands in for the text of a policy.
pub(crate) const POLICY: &[u8] = b"permit(principal, action, resource);";

/// The digest of [`POLICY`], as these tests compute it.
pub(crate) fn policy() -> PolicyDigest {
    PolicyDigest::from_bytes(*blake3::hash(POLICY).as_bytes())
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn id(number: u64) -> CaseId {
    let StreamId::Case(id) = case(number) else { panic!("a case") };
    id
}

pub(crate) fn grant(number: u64) -> GrantId {
    GrantId::v8(u128::from(number).to_be_bytes())
}

pub(crate) fn credential(number: u64) -> CredentialId {
    CredentialId::v8((u128::from(number) + 1000).to_be_bytes())
}

pub(crate) fn person(name: &str) -> PrincipalId {
    PrincipalId::Identity(Identity::new("idp.example", name).unwrap())
}

pub(crate) fn scope(number: u64) -> Scope {
    Scope::new(format!("database:prod/table-{number}").parse().unwrap(), [Action::new("read").unwrap()]).unwrap()
}

/// The events of a case that gets a credential, from its request on; each schedules or ends some work.
pub(crate) fn events(world: &World, number: u64) -> Vec<Event> {
    let start = world.clock.now().at;
    let window = Window::new(start, start.saturating_add(HOUR)).unwrap();
    let reason = Justification::new("restore order 42").unwrap();
    let retain = RetentionClass::new(CLASS).unwrap();
    let requester = Principal::human(Identity::new("idp.example", format!("requester-{number}")).unwrap());
    let external = ExternalRef {
        system: SystemName::new("tickets").unwrap(),
        id: ExternalId::new(format!("INC-{number}")).unwrap(),
        digest: None,
    };
    let above = ParentGrant {
        case: id(number + 500),
        grant: grant(number + 500),
        scope: scope(number),
        window,
        path: vec![],
        holders: vec![person("boss")],
    };
    let request = Request::builder(requester, scope(number), window, reason, retain)
        .recipient(person("recipient"))
        .parent(above)
        .external(external)
        .build()
        .unwrap();
    let version = || Version::new("1").unwrap();
    let decision = Decision {
        outcome: Outcome::Permit,
        policy: policy(),
        engine: Engine { name: code!("imagined"), version: version(), language: version(), adapter: version() },
        default_applied: false,
        determining: vec![],
        errors: vec![],
        obligations: Obligations::default(),
    };
    let capabilities = IssuerCapabilities {
        class: CrashClass::RemoteStateful,
        prepares: false,
        can_revoke: true,
        can_confirm: true,
        native_expiry: true,
        idempotent_mint: true,
        cuts_sessions: true,
        leeway_s: 0,
        min_ttl_s: 1,
        max_ttl_s: 86_400,
    };
    let issuer = IssuerName::new("vault").unwrap();
    let fingerprint = ExternalDigest::from_bytes([u8::try_from(number % 256).unwrap(); 32]);
    vec![
        request.to_submitted().into(),
        PolicyEvaluated { purpose: EvaluationPurpose::Request, decision, input: None, about: None }.into(),
        ApprovalRecorded {
            approver: person("approver"),
            method: ApprovalMethod::QuorumMember,
            group: None,
            request: jit_log::Hash::from_bytes([1; 32]).into(),
            scope: scope(number),
            approved: window,
            conditions: vec![],
            comment: None,
            authentication: None,
            signature: None,
            list: None,
            eligibility: None,
            next: None,
        }
        .into(),
        GrantApproved {
            recipient: person("recipient"),
            scope: scope(number),
            approved: window,
            conditions: vec![],
            entitlement: EntitlementId::v8([2; 16]),
        }
        .into(),
        CredentialIntended {
            issuer: issuer.clone(),
            capabilities: capabilities.clone(),
            subject: person("recipient"),
            scope: scope(number),
            issued: window,
            backdate_s: 0,
            holder_key: None,
            resolve_at: start.saturating_add(Duration::from_secs(60)),
        }
        .into(),
        CredentialIssued {
            descriptor: CredentialDescriptor {
                id: credential(number),
                issuer,
                fingerprint,
                serial: ExternalId::new("7").unwrap(),
                subject: person("recipient"),
                window,
                capabilities,
            },
        }
        .into(),
        SignalReceived {
            system: SystemName::new("siem").unwrap(),
            signal: code!("alert"),
            id: ExternalId::new(format!("S-{number}")).unwrap(),
        }
        .into(),
    ]
}

/// A case with the first events of those above.
pub(crate) fn lived(world: &World, log: &Log, number: u64, count: usize) -> AppendRequest {
    let mut head: Option<StreamHead> = None;
    let mut records = Vec::new();
    for event in events(world, number).into_iter().take(count) {
        let record = sealed(log, number, event, head);
        head = Some(record.head());
        records.push(record);
    }
    AppendRequest::new().records(case(number), Expected::Empty, records).blob(policy().into(), POLICY.to_vec())
}

pub(crate) fn sealed(log: &Log, number: u64, event: Event, head: Option<StreamHead>) -> Record {
    let kind = event.kind();
    let of_credential = kind.as_str().starts_with("credential.");
    let refs = Refs {
        request: Some(id(number)),
        grant: (of_credential || kind == Kind::GrantApproved).then(|| grant(number)),
        credential: of_credential.then(|| credential(number)),
        policy: (kind == Kind::PolicyEvaluated).then(policy),
        ..Refs::default()
    };
    let recorder = log.recorder();
    let (retain, read) = (RetentionClass::new(CLASS).unwrap(), recorder.clock().now());
    recorder.draft(case(number), event, refs, retain, read).unwrap().seal(head, None).unwrap()
}

/// A log of so many records at least: cases with grants and credentials, some of them closed, and records of the log itself.
pub(crate) async fn filled(world: &World, records: u64) -> Log {
    let log = world.create().await;
    let mut number = 0;
    while log.size().await.unwrap() < records {
        append(&log, lived(world, &log, number, 4 + usize::try_from(number % 4).unwrap())).await;
        append(&log, begin(&log, 1000 + number, 1)).await;
        if number % 5 == 0 {
            close(&log, 1000 + number).await;
            publish(&log, AppendRequest::new().draft(heartbeat(&log))).await;
        }
        number += 1;
    }
    log.publish().await.unwrap();
    log
}

/// Ends a case that has one record.
pub(crate) async fn close(log: &Log, number: u64) {
    let records = log.stream(&case(number)).await.unwrap();
    let head = records.last().unwrap().record().head();
    let closed = draft(log, case(number), CaseClosed { count: 2 }, CLASS).seal(Some(head), None).unwrap();
    append(log, AppendRequest::new().records(case(number), Expected::At(head), vec![closed])).await;
}
