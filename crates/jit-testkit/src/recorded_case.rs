//! A real case, every record of it proven: what an issuer needs to be called.

use std::{collections::BTreeSet, num::NonZeroU16, sync::Arc, time::Duration};

use jit_core::{
    Action, Approve, Case, CaseId, Clock as _, Code, Command, Condition, Context, CredentialDescriptor, CredentialId,
    Decision, DeterminingRule, Effect, Engine, EntitlementId, EvaluatedDecision, Event, GroupCount, GroupName,
    HolderKey, Identity, Intend, Justification, Obligation, Obligations, Outcome, ParentState, PolicyDigest, Principal,
    PrincipalId, Quorum, Recorded, Recorder, Refs, Refusal, Request, RequestLimits, RetentionClass, RuleId, Scope,
    StepOrigin, Timestamp, Version, Window, WriterId,
    canonical::{Object, Value},
    code,
};
use jit_issuer::{CredentialIssuer, MintAuthorization};

use crate::{ManualClock, ProvenLog, SeededEntropy};

/// What a case is to be like.
#[derive(Debug, Clone)]
pub struct CaseSetup {
    /// The log it is in.
    pub origin: String,
    /// The seed of ids, salts and the log's key.
    pub seed: u64,
    /// Who asks.
    pub requester: Principal,
    /// Who receives the privilege; by default whoever the requester's kind implies.
    pub recipient: Option<PrincipalId>,
    /// What is asked for.
    pub scope: Scope,
    /// When it is asked for; the clock stands at its start.
    pub window: Window,
    /// The conditions the policy demands; those that the broker enforces are reported as enforced.
    pub conditions: Vec<Condition>,
    /// The key that whoever claims the credential names.
    pub holder_key: Option<HolderKey>,
}

impl Default for CaseSetup {
    /// A person asks to read a database for an hour.
    fn default() -> Self {
        let start: Timestamp = "2026-11-02T10:00:00.000000Z".parse().expect("a time");
        let resource = "database:prod/orders".parse().expect("a resource");
        Self {
            origin: "log.example/test".to_owned(),
            seed: 1,
            requester: Principal::human(Identity::new("idp.example", "u-1042").expect("an identity")),
            recipient: None,
            scope: Scope::new(resource, [Action::new("read").expect("an action")]).expect("a scope"),
            window: Window::new(start, start.saturating_add(Duration::from_secs(3600))).expect("a window"),
            conditions: Vec::new(),
            holder_key: None,
        }
    }
}

/// A case that is approved by a second person, and goes on as its test demands. The policy is imagined; everything else is real.
///
/// ```
/// use jit_testkit::{CaseSetup, MemoryTarget, RecordedCase};
/// let mut case = RecordedCase::approved(CaseSetup::default());
/// let authorization = case.authorize(&MemoryTarget::new());
/// assert_eq!(authorization.grant(), case.case().grant_id());
/// ```
#[derive(Debug)]
pub struct RecordedCase {
    log: ProvenLog,
    case: Case,
    recorder: Recorder,
    clock: Arc<ManualClock>,
    evaluated: EvaluatedDecision,
    holder_key: Option<HolderKey>,
}

impl RecordedCase {
    /// A case whose grant is approved, in a log of its own.
    #[must_use]
    pub fn approved(setup: CaseSetup) -> Self {
        let log = ProvenLog::new(&setup.origin, [7; 32]);
        let clock = Arc::new(ManualClock::at(setup.window.start()));
        let entropy = Arc::new(SeededEntropy::new(setup.seed));
        let recorder = Recorder::new(log.origin(), WriterId::v8([1; 16]), clock.clone(), entropy);
        let id = CaseId::v7(setup.window.start(), recorder.random().expect("entropy"));
        let case = Case::new(log.origin(), id);
        let mut this =
            Self { log, case, recorder, clock, evaluated: evaluated(&setup.conditions), holder_key: setup.holder_key };

        let reason = Justification::new("restore order 42, INC-7").expect("a justification");
        let mut request = Request::builder(setup.requester, setup.scope, setup.window, reason, retention());
        if let Some(recipient) = setup.recipient {
            request = request.recipient(recipient);
        }
        this.record(Command::Submit(request.build().expect("a request")));
        this.record(Command::Evaluate(this.evaluated.clone()));
        let approver = Principal::human(Identity::new("idp.example", "u-approver").expect("an identity"));
        let content = this.case.approval_content(&approver).expect("a case that awaits approval");
        this.record(Command::Approve(Approve {
            approver,
            group: group(),
            member_of: BTreeSet::from([group()]),
            content,
            comment: None,
            authentication: None,
            signature: None,
            list: None,
        }));
        let unmet: Vec<Code> = this.case.conditions_unmet().map(|condition| condition.id.clone()).collect();
        for condition in unmet {
            let by = PrincipalId::Workload("spiffe://example.org/login".parse().expect("a SPIFFE id"));
            this.record(Command::ReportCondition { condition, enforced: true, by });
        }
        this
    }

    /// The case as it stands.
    #[must_use]
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The log it is in.
    #[must_use]
    pub fn log(&self) -> &ProvenLog {
        &self.log
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Decides the command, records what was decided, and gives the proven records and the refusal, if it was one.
    pub fn try_record(&mut self, command: &Command) -> (Vec<Recorded>, Result<(), Refusal>) {
        let read = self.clock.now();
        let context = Context {
            now: read.at,
            limits: RequestLimits { longest: Duration::MAX, furthest: Duration::MAX, ..RequestLimits::default() },
            entitlement: EntitlementId::v8([2; 16]),
            still_justified_by: Vec::new(),
        };
        let decided = self.case.decide(command, &context);
        let origin = StepOrigin::internal(retention());
        let records = self.case.record(&decided.steps, &origin, &self.recorder, &read).expect("records");
        (self.log.append(&records), decided.outcome)
    }

    /// As [`try_record`](Self::try_record), for a command that must not be refused.
    pub fn record(&mut self, command: Command) -> Vec<Recorded> {
        let (recorded, outcome) = self.try_record(&command);
        outcome.expect("a command that is not refused");
        recorded
    }

    /// Appends an event as a writer would who asks nobody: it is folded, not decided.
    pub fn forge(&mut self, event: Event, refs: Refs) -> Recorded {
        let draft =
            self.recorder.draft(self.case.stream(), event, refs, retention(), self.clock.now()).expect("a draft");
        let record = draft.seal(self.case.head(), None).expect("a record");
        self.case.apply(&record).expect("a record that folds");
        self.log.append(&[record]).swap_remove(0)
    }

    /// Intends to mint as much as the grant leaves and the issuer can express. Gives the record of the intent.
    ///
    /// # Errors
    /// The refusal of the case; `None` if the issuer cannot express what is left.
    pub fn try_intend(&mut self, issuer: &dyn CredentialIssuer) -> Result<Recorded, Option<Refusal>> {
        let now = self.clock.now().at;
        let capabilities = issuer.capabilities();
        let window = self.case.issuable_window(now, Duration::ZERO, &capabilities)?;
        let issued = issuer.fit(window).ok_or(None)?;
        let intend = Command::Intend(Intend {
            credential: CredentialId::v7(now, self.recorder.random().expect("entropy")),
            issuer: issuer.name().clone(),
            capabilities,
            issued,
            backdate: Duration::ZERO,
            holder_key: self.holder_key.clone(),
            resolve_at: now.saturating_add(Duration::from_secs(60)),
            evaluated: self.evaluated.clone(),
            parent: ParentState::None,
        });
        let (mut recorded, outcome) = self.try_record(&intend);
        outcome?;
        Ok(recorded.pop().expect("the intent"))
    }

    /// As [`try_intend`](Self::try_intend), for a mint that must be possible.
    pub fn intend(&mut self, issuer: &dyn CredentialIssuer) -> Recorded {
        self.try_intend(issuer).expect("a mint that can be intended")
    }

    /// The authorisation to mint with this issuer.
    pub fn authorize(&mut self, issuer: &dyn CredentialIssuer) -> MintAuthorization {
        let intended = self.intend(issuer);
        MintAuthorization::new(&self.case, &intended).expect("an authorised mint")
    }

    /// Records that the credential was prepared.
    pub fn prepared(&mut self, descriptor: &CredentialDescriptor) -> Recorded {
        let command = Command::Prepared { credential: descriptor.id, descriptor: descriptor.clone() };
        self.record(command).swap_remove(0)
    }

    /// Records that the credential exists.
    pub fn issued(&mut self, descriptor: &CredentialDescriptor) -> Recorded {
        let command = Command::Issued { credential: descriptor.id, descriptor: descriptor.clone() };
        self.record(command).swap_remove(0)
    }

    /// Records the intent to take the credential back.
    pub fn intend_revocation(&mut self, credential: CredentialId) -> Recorded {
        let resolve_at = self.clock.now().at.saturating_add(Duration::from_secs(60));
        self.record(Command::IntendRevocation { credential, cause: code!("grant_ended"), resolve_at }).swap_remove(0)
    }
}

fn retention() -> RetentionClass {
    RetentionClass::new("access").expect("a class")
}

fn group() -> GroupName {
    GroupName::new("sre").expect("a group")
}

/// A permit that asks for one approval of the group `sre`.
fn evaluated(conditions: &[Condition]) -> EvaluatedDecision {
    let version = |text: &str| Version::new(text).expect("a version");
    let quorum = Quorum::new(GroupCount { group: group(), count: NonZeroU16::MIN }, []).expect("a quorum");
    let demands = conditions.iter().cloned().map(Obligation::Condition).chain([Obligation::Approvals(quorum)]);
    let decision = Decision {
        outcome: Outcome::Permit,
        policy: PolicyDigest::from_bytes([9; 32]),
        engine: Engine {
            name: code!("imagined"),
            version: version("1"),
            language: version("1"),
            adapter: version("1"),
        },
        default_applied: false,
        determining: vec![DeterminingRule::new(RuleId::new("on-call").expect("a rule"), Effect::Permit)],
        errors: Vec::new(),
        obligations: Obligations::merge(demands).expect("obligations"),
    };
    EvaluatedDecision { decision, input: Value::Object(Object::new()) }
}
