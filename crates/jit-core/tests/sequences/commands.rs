//! The command that an operation is in a world as it stands.

use std::{collections::BTreeSet, time::Duration};

use jit_core::*;

use super::operations::Op;
use crate::world::{
    self, World, agent, at, at_most, break_glass, capabilities, deadline, decision, group, person, quorum, retain,
    scope, word,
};

const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "owner", "alice"];

fn somebody(n: u8) -> Principal {
    match usize::from(n % 8) {
        6 => Principal::Rule { rule: RuleId::new("on-call").unwrap(), policy: world::policy() },
        7 => agent("robot", AgentMode::Autonomous),
        i => person(PEOPLE[i]),
    }
}

fn some_group(n: u8) -> GroupName {
    group(["sre", "dba", "sre", "legal", "leads", "board", "sre", "dba"][usize::from(n % 8)])
}

/// The request of a case: case 1 derives from case 0's grant, if that has one and `n` says so.
fn request(world: &World, case: usize, n: u8) -> Option<Request> {
    let requester = match n % 4 {
        0 | 1 => person("alice"),
        2 => agent("robot", AgentMode::OnBehalfOf(Delegation::new(person("carol").id(), vec![]).unwrap())),
        _ => agent("robot", AgentMode::Autonomous),
    };
    let parent = (case == 1 && n & 4 == 0).then(|| world.parent(0)).flatten();
    let wanted = match (n >> 3) % 4 {
        0 => scope("database:prod/orders", &["read", "write"]),
        _ => scope("database:prod/orders", &["read"]),
    };
    let from = (world.now().unix_seconds() - at(0).unix_seconds()).unsigned_abs();
    let length = match n % 16 {
        // Further ahead than a broker accepts.
        13 => 100 * 86_400,
        _ => [600, 1200, 3600, 10][usize::from((n >> 5) % 4)],
    };
    // Some windows open later.
    let from = from + if n % 16 >= 10 { 300 } else { 0 };
    let mut window = world::window(from, from + length);
    if let Some(above) = &parent {
        window = window.intersect(&above.window)?;
    }
    let mut builder = if n % 8 == 1 {
        Request::break_glass(requester, wanted, window, break_glass(), retain())
    } else {
        Request::builder(requester, wanted, window, Justification::new("INC-7").unwrap(), retain())
    };
    if let Some(above) = parent {
        builder = builder.parent(above);
    }
    builder.build().ok()
}

fn verdict(n: u8) -> EvaluatedDecision {
    match n % 12 {
        0 => decision(Outcome::Deny, []),
        1 => decision(Outcome::Indeterminate, []),
        2 => decision(Outcome::Permit, [at_most(900)]),
        3..=5 => decision(Outcome::Permit, []),
        6 | 7 => decision(Outcome::Permit, [quorum(&[("sre", 1)])]),
        8 => {
            decision(Outcome::Permit, [world::escalating("sre", 1, &[(300, "leads"), (300, "board")]), deadline(1200)])
        }
        9 => decision(Outcome::Permit, [quorum(&[("sre", 2)]), deadline(900)]),
        _ => decision(Outcome::Permit, [quorum(&[("sre", 1), ("dba", 1)]), at_most(3600)]),
    }
}

/// What a policy says of an approver or a reviewer; in some cases that an owner may approve.
fn judgement(n: u8) -> EvaluatedDecision {
    match n % 4 {
        0 => decision(Outcome::Deny, []),
        1 => decision(Outcome::Permit, [world::condition("owner_may_approve", true)]),
        _ => decision(Outcome::Permit, []),
    }
}

/// Less than what is asked for, the same, or more.
fn narrow(case: &Case, approver: Principal, group: GroupName, how: u8) -> Option<Narrow> {
    let (asked, window) = (case.standing_scope()?.clone(), case.standing_window()?);
    let scope = if how & 1 == 0 { scope("database:prod/orders", &["read"]) } else { asked };
    let window = match how % 8 / 2 {
        0 => window,
        1 => Window::new(window.start(), window.end().saturating_add(Duration::from_secs(60))).ok()?,
        _ => window.shortened_to(window.duration() / 2)?,
    };
    Some(Narrow { approver, group, member_of: world::everyone(), scope, window })
}

/// The command that an operation means in the world as it is; `None` if it cannot even be said.
pub(super) fn command(world: &World, case: usize, op: &Op) -> Option<Command> {
    let known = &world.cases[case];
    let credential = *known.credentials().keys().next_back().unwrap_or(&CredentialId::v8([0xee; 16]));
    Some(match op {
        Op::Next(n) => return next(world, case, *n),
        Op::Submit(n) => Command::Submit(request(world, case, *n)?),
        Op::Evaluate(n) => Command::Evaluate(verdict(*n)),
        Op::Approve { who, group, forged } => {
            let approver = somebody(*who);
            let mut content = known.approval_content(&approver)?;
            match forged % 8 {
                0 => content.window = world::window(0, 1_000_000),
                1 => content.decision = content.request,
                2 => content.approver = person("bob").id(),
                3 => content.policy = PolicyDigest::from_bytes([8; 32]),
                // As it was before the last narrowing or withdrawal.
                4 if *forged < 64 => content.after = None,
                _ => {}
            }
            let other = ApprovalContent { approver: person("zoe").id(), ..content.clone() };
            let list = match forged % 16 {
                5 | 7 => Some(ApprovalList::of([&other, &content]).unwrap()),
                6 => Some(ApprovalList::of([&other]).unwrap()),
                _ => None,
            };
            let signature = match forged % 32 {
                13 | 21 | 29 => Some(world::signed(&content, list.as_ref())),
                10 => Some(world::signed(&other, None)),
                _ => None,
            };
            let member_of = if *forged == 255 { BTreeSet::new() } else { world::everyone() };
            Command::Approve(Approve {
                approver,
                group: some_group(*group),
                member_of,
                content,
                comment: None,
                authentication: None,
                signature,
                list,
            })
        }
        Op::Confirm(n) => Command::Confirm(verdict(*n)),
        Op::JudgeApprover { who, n } => Command::JudgeApprover { by: somebody(*who).id(), evaluated: judgement(*n) },
        Op::JudgeReviewer { who, n } => Command::JudgeReviewer { by: somebody(*who).id(), evaluated: judgement(*n) },
        Op::WithdrawApproval { who } => Command::WithdrawApproval { by: somebody(*who).id(), reason: None },
        Op::Narrow { who, group, how } => Command::Narrow(narrow(known, somebody(*who), some_group(*group), *how)?),
        Op::Escalate => Command::Escalate,
        Op::Overdue { which } => {
            let mut ids = known.obligations().keys();
            let obligation = if *which { ids.next() } else { ids.next_back() };
            Command::ObligationOverdue { obligation: *obligation? }
        }
        Op::Announced { failed } => Command::Announced {
            channel: word("pager"),
            failure: failed.then(|| word("timed_out")),
            retry_at: failed.then(|| world.now()),
        },
        Op::Deny { who, group } => {
            Command::Deny { by: somebody(*who), group: some_group(*group), member_of: world::everyone(), reason: None }
        }
        Op::Withdraw { who } => Command::Withdraw { by: somebody(*who).id(), reason: None },
        Op::Lapse => Command::Lapse,
        Op::Intend { again, window } => {
            let id = if again % 16 == 0 { credential } else { fresh_credential(world) };
            let first = known.first_decision().map(|d| d.decision.obligations.clone()).unwrap_or_default();
            let evaluated = match again % 8 {
                1 => decision(Outcome::Deny, []),
                2 => decision(Outcome::Permit, [quorum(&[("sre", 9)])]),
                3 => decision(Outcome::Indeterminate, []),
                _ => decision(Outcome::Permit, Vec::from(first)),
            };
            let mut intend = world.intent(case, id, evaluated);
            intend.capabilities = capabilities(again & 64 == 0);
            if again & 32 == 0 {
                intend.capabilities.class = CrashClass::RemoteShared;
            }
            intend.parent = parent_state(world, case);
            match window % 6 {
                0 => intend.issued = world::window(0, 100_000),
                1 => intend.backdate = Duration::from_secs(60),
                2 => intend.issued = intend.issued.shortened_to(Duration::from_secs(30))?,
                _ => {}
            }
            Command::Intend(intend)
        }
        Op::Prepared { wrong } => {
            Command::Prepared { credential, descriptor: descriptor(world, case, credential, *wrong) }
        }
        Op::Issued { wrong } => Command::Issued { credential, descriptor: descriptor(world, case, credential, *wrong) },
        Op::MintFailed => Command::MintFailed { credential, cause: word("refused") },
        Op::MintUnknown => Command::MintUnknown { credential, cause: word("timed_out"), reconcile_at: world.now() },
        Op::MintReconciled { exists } => {
            let existing = exists.then(|| descriptor(world, case, credential, 255));
            Command::MintReconciled { credential, existing, finding: word("looked") }
        }
        Op::Open(n) => Command::Open(Open { evaluated: verdict(*n), parent: parent_state(world, case) }),
        Op::Extend { who, by } => {
            let who = if by & 1 == 0 { robot(known) } else { somebody(*who) };
            let end = known.grant().map_or(world.now(), |g| g.approved.approved.end());
            // Some are no longer, some too long, some beyond the parent.
            let longer = [0, 60, 600, 1800, 100 * 86_400][usize::from(by / 2 % 5)];
            world.extend(case, &who, end.saturating_add(Duration::from_secs(longer)))
        }
        Op::EvaluateExtension(n) => Command::EvaluateExtension(verdict(*n)),
        Op::WithdrawExtension { who } => {
            let by = if who & 1 == 0 { robot(known).id() } else { somebody(*who).id() };
            Command::WithdrawExtension { by, reason: None }
        }
        Op::LapseExtension => Command::LapseExtension,
        Op::Renew { again } => {
            let mut renewal = world.intent(case, fresh_credential(world), verdict(*again));
            renewal.parent = parent_state(world, case);
            Command::Renew(renewal)
        }
        Op::Expire => Command::Expire,
        Op::End { by } => {
            let id = somebody(*by).id();
            let by = if by & 64 == 0 { EndBy::Holder(id) } else { EndBy::Other(id) };
            Command::End { by, cause: word("no_longer_needed"), reason: None }
        }
        Op::IntendRevocation => {
            Command::IntendRevocation { credential, cause: word("grant_ended"), resolve_at: world.now() }
        }
        Op::Revocation { outcome } => {
            let outcome = match outcome % 5 {
                0 => RevocationOutcome::Failed { cause: word("refused"), retry_at: world.now() },
                1 => RevocationOutcome::Unknown { cause: word("timed_out"), reconcile_at: world.now() },
                2 => RevocationOutcome::Irrevocable { cause: word("cannot_recall"), until: None },
                _ => RevocationOutcome::Confirmed { finding: word("gone") },
            };
            Command::Revocation { credential, outcome }
        }
        Op::RevocationReconciled { dead, retry } => {
            let retry_at = retry.then(|| world.now());
            Command::RevocationReconciled { credential, dead: *dead, finding: word("looked"), retry_at }
        }
        Op::DemandRevocation { who } => {
            let reason = (who & 64 == 0).then(|| Prose::new("the target is back").unwrap());
            Command::DemandRevocation { credential, by: somebody(*who).id(), reason }
        }
        Op::HandOver { to } => Command::HandOver { credential, to: shared_with(world, case, *to)? },
        Op::EndFor { what } => {
            let by = person("root").id();
            let other = &world.cases[1 - case];
            let by = match (what % 4, other.grant()) {
                (0, Some(grant)) if what & 64 == 0 => EndBy::Grant { by, grant: grant.id, approved: grant.leaf },
                (0, _) => EndBy::Grant { by, grant: known.grant_id(), approved: known.head()?.leaf },
                (1, _) => EndBy::Bulk { by, act: LeafHash::from_bytes([6; 32]) },
                (2, _) => EndBy::Bar { by, bar: LeafHash::from_bytes([7; 32]) },
                _ => EndBy::Target { finding: word("gone") },
            };
            Command::End { by, cause: word("ended_for_it"), reason: None }
        }
        Op::CredentialExpired => Command::CredentialExpired { credential },
        Op::CloseObligation { who, which, text } => {
            let mut ids = known.obligations().keys();
            let obligation = if *which { ids.next() } else { ids.next_back() };
            Command::CloseObligation {
                obligation: *obligation.unwrap_or(&ObligationId::v8([1; 16])),
                by: somebody(*who),
                finding: word("reviewed"),
                text: text.then(|| Prose::new("it was needed").unwrap()),
            }
        }
        Op::Close => Command::Close,
        Op::Advance { .. } | Op::StepBack { .. } => return None,
    })
}

/// The other grant, if it is live in the ledger of this one: what a broker establishes before it leaves anything to it.
fn shared_with(world: &World, case: usize, n: u8) -> Option<GrantId> {
    let own = world.cases[case].grant()?;
    if n.is_multiple_of(8) {
        return Some(own.id);
    }
    let ledger = world.ledgers.get(&own.approved.entitlement)?;
    ledger.live_at(world.now()).find(|grant| *grant != own.id)
}

fn fresh_credential(world: &World) -> CredentialId {
    CredentialId::v8(u128::try_from(world.records.len()).unwrap().to_be_bytes())
}

fn parent_state(world: &World, case: usize) -> ParentState {
    match world.cases[case].request().map(|r| r.submitted.parent.is_some()) {
        Some(true) if world.cases[0].is_active(world.now()) => ParentState::Active,
        Some(true) => ParentState::Gone,
        _ => ParentState::None,
    }
}

fn descriptor(world: &World, case: usize, id: CredentialId, wrong: u8) -> CredentialDescriptor {
    let mut descriptor = world.descriptor(case, id);
    match wrong % 16 {
        0 => descriptor.window = world::window(0, 100_000),
        1 => descriptor.subject = person("mallory").id(),
        2 => descriptor.id = CredentialId::v8([0xdd; 16]),
        _ => {}
    }
    descriptor
}

/// What an honest broker does next with a case.
fn next(world: &World, case: usize, n: u8) -> Option<Command> {
    let known = &world.cases[case];
    if let Some(due) = known.due_command(world.now()) {
        return Some(due);
    }
    let open = known.credentials().iter().find(|(_, c)| c.is_unresolved());
    let op = match (known.phase(), open) {
        (_, Some((_, c))) if c.mint == MintState::Unknown => Op::MintReconciled { exists: n & 1 == 0 },
        (_, Some(_)) if n < 40 => Op::MintUnknown,
        (_, Some((_, c))) if c.mint == MintState::Pending && n & 2 == 0 => Op::Prepared { wrong: 255 },
        (_, Some(_)) => Op::Issued { wrong: 255 },
        (Phase::New, _) => Op::Submit(n),
        (Phase::Submitted, _) => Op::Evaluate(n | 3),
        (Phase::AwaitingApprovals, _) if n.is_multiple_of(11) => Op::Narrow { who: 1 + (n & 2), group: 0, how: n },
        (Phase::AwaitingApprovals, _) => {
            let asked: Vec<GroupName> = known.missing_approvals().into_iter().map(|(group, _)| group).collect();
            let group = if asked.contains(&group("dba")) { 1 } else { 0 };
            let group = if known.next_escalation().is_none() && n & 4 == 0 { n } else { group };
            // Signed, in a list, or both, now and then.
            Op::Approve { who: 1 + (n & 2), group, forged: [100, 13, 7, 21, 100][usize::from(n % 5)] }
        }
        (Phase::Approved | Phase::Activated, _) if known.pending_extension().is_some_and(|e| e.decision.is_none()) => {
            Op::EvaluateExtension(n | 3)
        }
        (Phase::Approved | Phase::Activated, _) if known.pending_extension().is_some() && n < 200 => {
            Op::Approve { who: 1 + (n & 2), group: n, forged: 100 }
        }
        (Phase::Approved, _) if n & 16 == 0 => Op::Open(3),
        (Phase::Activated, _) if n.is_multiple_of(3) => Op::Extend { who: n, by: [2, 4, 6][usize::from(n % 9 / 3)] },
        (Phase::Activated, _) if n.is_multiple_of(5) => Op::Renew { again: 3 },
        (Phase::Approved, _) => Op::Intend { again: 15, window: 5 },
        _ => {
            let revoking = known.credentials().iter().find(|(_, c)| c.is_being_revoked()).map(|(_, c)| &c.revocation);
            match revoking {
                Some(RevocationState::Unknown) => Op::RevocationReconciled { dead: n & 1 == 0, retry: true },
                Some(_) => Op::Revocation { outcome: n },
                None if known.phase() == Phase::Activated => Op::End { by: n },
                None if n & 1 == 0 => Op::IntendRevocation,
                None => Op::CloseObligation { who: n, which: n & 2 == 0, text: true },
            }
        }
    };
    command(world, case, &op)
}

/// Whoever asked.
pub(super) fn robot(case: &Case) -> Principal {
    case.request().map_or_else(|| person("alice"), |request| request.submitted.requester.clone())
}
