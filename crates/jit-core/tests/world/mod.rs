//! A small world for tests: one log in memory, a driven clock, counted randomness, cases, ledgers and people.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod forge;
pub mod story;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU16, NonZeroU32},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jit_core::canonical::Value;
use jit_core::*;

/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600_000_000;
/// By how much the clock may be off.
pub const CLOCK_ERROR: Duration = Duration::from_secs(1);

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(START).unwrap().saturating_add(Duration::from_secs(seconds))
}

pub fn window(from: u64, to: u64) -> Window {
    Window::new(at(from), at(to)).unwrap()
}

/// Randomness that is a count, so that every run gives the same bytes.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A clock that stands until it is moved.
pub struct Driven(AtomicU64);

impl Driven {
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_micros().unsigned_abs(), Ordering::Relaxed);
    }
}

impl Clock for Driven {
    fn now(&self) -> ClockReading {
        let micros = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap();
        let error_us = u32::try_from(CLOCK_ERROR.as_micros()).unwrap();
        let clock = ClockInfo { source: ClockSource::new("test").unwrap(), error_us };
        ClockReading { at: Timestamp::from_micros(micros).unwrap(), clock }
    }
}

pub fn person(name: &str) -> Principal {
    Principal::human(Identity::new("idp.example", name).unwrap())
}

pub fn word(text: &str) -> Code {
    Code::new(text).unwrap()
}

pub fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub fn retain() -> RetentionClass {
    RetentionClass::new("access").unwrap()
}

pub fn policy() -> PolicyDigest {
    PolicyDigest::from_bytes([7; 32])
}

pub fn scope(resource: &str, actions: &[&str]) -> Scope {
    Scope::new(resource.parse().unwrap(), actions.iter().map(|a| Action::new(*a).unwrap())).unwrap()
}

pub fn quorum(groups: &[(&str, u16)]) -> Obligation {
    let mut counts = groups.iter().map(|(g, n)| GroupCount { group: group(g), count: NonZeroU16::new(*n).unwrap() });
    Obligation::Approvals(Quorum::new(counts.next().unwrap(), counts).unwrap())
}

/// A quorum of one group that escalates, after so many seconds each, to others.
pub fn escalating(of: &str, count: u16, steps: &[(u32, &str)]) -> Obligation {
    let Obligation::Approvals(quorum) = quorum(&[(of, count)]) else { panic!() };
    let steps = steps.iter().map(|(s, to)| EscalationStep { after: seconds(*s), to: group(to) });
    Obligation::Approvals(quorum.escalating(&group(of), steps).unwrap())
}

pub fn seconds(n: u32) -> Seconds {
    Seconds::new(NonZeroU32::new(n).unwrap())
}

pub fn deadline(n: u32) -> Obligation {
    Obligation::ApprovalDeadline(seconds(n))
}

pub fn condition(id: &str, value: bool) -> Obligation {
    Obligation::Condition(Condition { id: word(id), value: Value::Bool(value), enforcement: Enforcement::Broker })
}

/// A signature over what would be approved, or over the list.
pub fn signed(content: &ApprovalContent, list: Option<&ApprovalList>) -> ApprovalSignature {
    let key = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
    let signature = ed25519_dalek::Signer::sign(&key, &content.signed_bytes(list).unwrap());
    ApprovalSignature::ed25519(&key.verifying_key().to_bytes(), &signature.to_bytes()).unwrap()
}

pub fn at_most(seconds: u32) -> Obligation {
    Obligation::MaxDuration(Seconds::new(NonZeroU32::new(seconds).unwrap()))
}

pub fn decision(outcome: Outcome, obligations: impl IntoIterator<Item = Obligation>) -> EvaluatedDecision {
    let effect = if outcome == Outcome::Permit { Effect::Permit } else { Effect::Forbid };
    let version = |text: &str| Version::new(text).unwrap();
    let failed = EvaluationError { code: word("type_error"), rule: None };
    let decision = Decision {
        outcome,
        policy: policy(),
        engine: Engine { name: word("test"), version: version("1"), language: version("1"), adapter: version("1") },
        default_applied: false,
        determining: vec![DeterminingRule::new(RuleId::new("on-call").unwrap(), effect)],
        errors: (outcome == Outcome::Indeterminate).then_some(failed).into_iter().collect(),
        obligations: Obligations::merge(obligations).unwrap(),
    };
    EvaluatedDecision { decision, input: Value::text("input").unwrap() }
}

pub fn capabilities(can_revoke: bool) -> IssuerCapabilities {
    IssuerCapabilities {
        class: CrashClass::SelfContained,
        prepares: true,
        can_revoke,
        can_confirm: can_revoke,
        native_expiry: true,
        idempotent_mint: true,
        cuts_sessions: can_revoke,
        leeway_s: 5,
        min_ttl_s: 1,
        max_ttl_s: 86_400,
    }
}

pub fn agent(name: &str, mode: AgentMode) -> Principal {
    let event = InitiatingEvent {
        kind: word("chat_message"),
        source: SystemName::new("chat").unwrap(),
        id: ExternalId::new("m-1").unwrap(),
        at: at(0),
        digest: ExternalDigest::from_bytes([1; 32]),
    };
    let build = AgentBuild { version: Version::new("1").unwrap(), model: ModelName::new("model").unwrap() };
    Principal::Agent(Box::new(
        Agent::new(
            Identity::new("agents.example", name).unwrap(),
            Identity::new("idp.example", "owner").unwrap(),
            build,
            mode,
            event,
            ExternalId::new("TASK-1").unwrap(),
            "spiffe://example.org/agent/runner".parse().unwrap(),
        )
        .unwrap(),
    ))
}

pub fn break_glass() -> BreakGlass {
    let hour = Seconds::new(NonZeroU32::new(3600).unwrap());
    BreakGlass { severity: Severity::Critical, emergency: word("outage"), review_within: hour, justify_within: hour }
}

pub fn everyone() -> BTreeSet<GroupName> {
    BTreeSet::from(["sre", "dba", "leads", "board"].map(group))
}

/// The log, and everything that acts on it.
pub struct World {
    pub clock: Arc<Driven>,
    pub recorder: Recorder,
    pub records: Vec<Record>,
    pub heads: BTreeMap<StreamId, StreamHead>,
    pub cases: Vec<Case>,
    pub ledgers: BTreeMap<EntitlementId, Entitlement>,
    index_key: IndexKey,
    commands: u8,
}

impl World {
    /// A log that is open, with retention declared and a policy published.
    pub fn new() -> Self {
        let clock = Arc::new(Driven(AtomicU64::new(START.unsigned_abs())));
        let log: LogOrigin = "log.example/test".parse().unwrap();
        let writer = WriterId::v8([9; 16]);
        let recorder = Recorder::new(log, writer, clock.clone(), Arc::new(Counting::default()));
        let mut world = Self {
            clock,
            recorder,
            records: Vec::new(),
            heads: BTreeMap::new(),
            cases: Vec::new(),
            ledgers: BTreeMap::new(),
            index_key: IndexKey::from_bytes([3; 32]),
            commands: 0,
        };
        let opened = LogOpened {
            format: Version::new("jit-evidence/1").unwrap(),
            keys: vec!["key".to_owned()],
            heartbeat_s: 3600,
            predecessor: None,
        };
        world.write(StreamId::Gov, opened.into(), Refs::default());
        let terms = RetentionTerms {
            class: retain(),
            min_s: 3600,
            max_s: None,
            basis: Line::new("test").unwrap(),
            reviewer: Line::new("test").unwrap(),
        };
        world.write(StreamId::Gov, RetentionDeclared { classes: vec![terms] }.into(), Refs::default());
        let published = PolicyPublished { snapshot: policy(), by: person("author").id() };
        world.write(StreamId::Policy, published.into(), Refs::default());
        world
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now().at
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.set(self.now().saturating_add(Duration::from_secs(seconds)));
    }

    /// Writes any event, sealed like a real one.
    pub fn write(&mut self, stream: StreamId, event: Event, refs: Refs) -> &Record {
        let read = self.clock.now();
        let draft = self.recorder.draft(stream, event, refs, retain(), read).unwrap();
        let record = draft.seal(self.heads.get(&stream).copied(), self.heads.get(&StreamId::Gov).copied()).unwrap();
        self.take(record);
        self.records.last().unwrap()
    }

    fn take(&mut self, record: Record) {
        self.heads.insert(record.header().stream, record.head());
        self.records.push(record);
    }

    /// A case that nothing is recorded of; its number in `cases`.
    pub fn open_case(&mut self) -> usize {
        let command = self.next_command();
        let case = Case::new(self.recorder.log().clone(), self.index_key.case(command));
        self.cases.push(case);
        self.cases.len() - 1
    }

    fn next_command(&mut self) -> CommandId {
        self.commands = self.commands.wrapping_add(1);
        CommandId::v8([self.commands; 16])
    }

    /// Decides a command, records what comes of it, and enters activation and end in the ledger, all at one moment.
    pub fn act(&mut self, case: usize, command: &Command) -> Result<(), Refusal> {
        self.try_act(case, command).unwrap()
    }

    /// As `act`; the outer error is that nothing could be recorded.
    pub fn try_act(&mut self, case: usize, command: &Command) -> Result<Result<(), Refusal>, ClockBehind> {
        let read = self.clock.now();
        let before = self.cases[case].clone();
        let entitlement = match (before.request(), command) {
            (Some(r), _) => self.index_key.entitlement(&r.submitted.recipient, before.standing_scope().unwrap()),
            (None, Command::Submit(r)) => self.index_key.entitlement(r.recipient(), r.scope()),
            (None, _) => EntitlementId::v8([0; 16]),
        };
        let mut ledger = self.ledgers.get(&entitlement).cloned().unwrap_or_else(|| Entitlement::new(entitlement));
        let context = Context {
            now: read.at,
            limits: RequestLimits::default(),
            entitlement,
            still_justified_by: ledger.live_at(read.at).collect(),
        };
        let decided = before.decide(command, &context);
        let mut origin = StepOrigin::internal(retain());
        if let Command::End { by, .. } = command {
            origin = origin.ended_by(by);
        }
        origin.command = Some(self.next_command());
        let mut after = before.clone();
        let mut records = after.record(&decided.steps, &origin, &self.recorder, &read).map_err(clock_behind)?;
        let active = |case: &Case| case.grant().is_some_and(|g| g.activated.is_some());
        let end = |case: &Case| case.grant().and_then(|g| g.end.as_ref()).map(|e| e.leaf);
        let began = after.head().filter(|_| active(&after) && !active(&before)).map(|head| (true, head.leaf));
        let ended = end(&after).filter(|_| active(&after) && end(&before).is_none()).map(|leaf| (false, leaf));
        let extension = |case: &Case| case.grant().and_then(|g| g.extended);
        let extended = extension(&after).filter(|_| active(&before) && extension(&after) != extension(&before));
        for (held, cause) in began.into_iter().chain(extended.map(|leaf| (true, leaf))).chain(ended) {
            records.push(ledger.change(held, &after, cause, &self.recorder, &read).map_err(clock_behind)?);
        }
        records.into_iter().for_each(|record| self.take(record));
        self.cases[case] = after;
        self.ledgers.insert(entitlement, ledger);
        Ok(decided.outcome)
    }

    /// The parent as a child of case `case` names it.
    pub fn parent(&self, case: usize) -> Option<ParentGrant> {
        let above = &self.cases[case];
        let (grant, request) = (above.grant()?, &above.request()?.submitted);
        let mut path: Vec<GrantId> = request.parent.as_ref().map(|p| p.path.clone()).unwrap_or_default();
        path.extend(request.parent.as_ref().map(|p| p.grant));
        Some(ParentGrant {
            case: above.id(),
            grant: grant.id,
            scope: grant.approved.scope.clone(),
            window: grant.approved.approved,
            path,
            holders: above.barred(),
        })
    }

    /// What minting credential `id` now intends.
    pub fn intent(&self, case: usize, id: CredentialId, evaluated: EvaluatedDecision) -> Intend {
        let capabilities = capabilities(true);
        let issued = self.cases[case].issuable_window(self.now(), Duration::ZERO, &capabilities);
        Intend {
            credential: id,
            issuer: IssuerName::new("jwt").unwrap(),
            issued: issued.unwrap_or_else(|_| window(0, 1)),
            capabilities,
            backdate: Duration::ZERO,
            holder_key: None,
            resolve_at: self.now().saturating_add(Duration::from_secs(60)),
            evaluated,
            parent: ParentState::None,
        }
    }

    /// What asking for more time means here.
    pub fn extend(&self, case: usize, by: &Principal, until: Timestamp) -> Command {
        let above = self.cases[case].request().and_then(|r| r.submitted.parent.as_ref());
        let extent = |parent: &ParentGrant| {
            let above = self.cases.iter().find(|above| above.id() == parent.case)?;
            above.is_active(self.now()).then(|| above.grant().map(|g| g.approved.approved))?
        };
        let parent = match above.map(extent) {
            None => ParentExtent::None,
            Some(Some(window)) => ParentExtent::Active(window),
            Some(None) => ParentExtent::Gone,
        };
        let justification = Justification::new("still restoring, INC-7").unwrap();
        Command::Extend(Extend { by: by.id(), until, justification, parent })
    }

    /// The descriptor of a credential that came out as intended.
    pub fn descriptor(&self, case: usize, id: CredentialId) -> CredentialDescriptor {
        let intended = self.cases[case].credentials().get(&id).map(|c| c.intended.clone());
        CredentialDescriptor {
            id,
            issuer: IssuerName::new("jwt").unwrap(),
            fingerprint: ExternalDigest::from_bytes([5; 32]),
            serial: ExternalId::new(id.to_string()).unwrap(),
            subject: intended.as_ref().map_or_else(|| person("nobody").id(), |i| i.subject.clone()),
            window: intended.as_ref().map_or_else(|| window(0, 1), |i| i.issued),
            capabilities: intended.map_or_else(|| capabilities(true), |i| i.capabilities),
        }
    }

    pub fn approve(&self, case: usize, approver: &Principal, of: &str) -> Command {
        let content = self.cases[case].approval_content(approver).unwrap();
        Command::Approve(Approve {
            approver: approver.clone(),
            group: group(of),
            member_of: everyone(),
            content,
            comment: Prose::new("looks right").ok(),
            authentication: None,
            signature: None,
            list: None,
        })
    }

    /// Everything that is found wrong or not provable at a moment.
    pub fn findings(&self, as_of: Timestamp) -> Vec<Finding> {
        findings(&self.records, as_of)
    }
}

/// Nothing was recorded, because the clock had stepped back too far.
#[derive(Debug)]
pub struct ClockBehind;

fn clock_behind(error: impl std::fmt::Debug) -> ClockBehind {
    let text = format!("{error:?}");
    assert!(text.starts_with("ClockBehind"), "{text}");
    ClockBehind
}

pub fn findings(records: &[Record], as_of: Timestamp) -> Vec<Finding> {
    check(&History::whole((0..).zip(records)).with_snapshots([policy()]), as_of)
}
