//! Who approves, for whom, what exactly and until when: what a case refuses, and what a check finds in histories of others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::{collections::BTreeSet, time::Duration};

use jit_core::*;
use proptest::prelude::*;
use world::{
    World, agent, at_most, break_glass, condition, deadline, decision, escalating, everyone, forge::Forgery, group,
    person, quorum, retain, scope, signed, window, word,
};

const READ: &str = "database:prod/orders";

fn permit(obligations: impl IntoIterator<Item = Obligation>) -> EvaluatedDecision {
    decision(Outcome::Permit, obligations)
}

/// A case of somebody who asks to read and write for an hour, on which a policy decided this.
fn asked_by(who: Principal, obligations: impl IntoIterator<Item = Obligation>) -> World {
    let mut world = World::new();
    world.open_case();
    let why = Justification::new("restore order 42, INC-7").unwrap();
    let request = Request::builder(who, scope(READ, &["read", "write"]), window(0, 3600), why, retain());
    world.act(0, &Command::Submit(request.build().unwrap())).unwrap();
    world.act(0, &Command::Evaluate(permit(obligations))).unwrap();
    world
}

fn asked(obligations: impl IntoIterator<Item = Obligation>) -> World {
    asked_by(person("alice"), obligations)
}

fn refused(world: &mut World, command: &Command) -> Refusal {
    let phase = world.cases[0].phase();
    let refusal = world.act(0, command).unwrap_err();
    assert_eq!(world.records.last().unwrap().header().kind, Kind::CommandRefused, "{refusal}");
    assert_eq!(world.cases[0].phase(), phase);
    refusal
}

fn narrow(by: &str, to: Scope, until: Window) -> Command {
    Command::Narrow(Narrow {
        approver: person(by),
        group: group("sre"),
        member_of: everyone(),
        scope: to,
        window: until,
    })
}

fn approval(command: Command) -> Approve {
    match command {
        Command::Approve(act) => act,
        other => panic!("{other:?}"),
    }
}

fn clean(world: &World) {
    assert_eq!(world.findings(world.now()), []);
}

#[test]
fn narrowing_asks_those_again_who_approved_before() {
    let mut world = asked([quorum(&[("sre", 1), ("dba", 1)])]);
    let shown = world.approve(0, &person("carol"), "dba");
    world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
    let less = scope(READ, &["read"]);
    assert_eq!(refused(&mut world, &narrow("dave", less.clone(), window(0, 3601))), Refusal::NotNarrower);
    assert_eq!(
        refused(&mut world, &narrow("dave", scope(READ, &["read", "write"]), window(0, 3600))),
        Refusal::NotNarrower
    );
    world.act(0, &narrow("dave", less.clone(), window(0, 1800))).unwrap();
    assert_eq!(world.cases[0].missing_approvals().len(), 2);
    // What Carol was shown before is no longer what is asked.
    assert_eq!(refused(&mut world, &shown), Refusal::Content);
    world.act(0, &world.approve(0, &person("carol"), "dba")).unwrap();
    world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
    let grant = world.cases[0].grant().unwrap().approved.clone();
    assert_eq!((grant.scope, grant.approved), (less.clone(), window(0, 1800)));
    assert_eq!(world.cases[0].standing_request().unwrap().scope(), &less);
    clean(&world);
}

#[test]
fn an_approval_taken_back_does_not_count_and_cannot_be_used_again() {
    let mut world = asked([quorum(&[("sre", 2)])]);
    let shown = world.approve(0, &person("bob"), "sre");
    world.act(0, &shown).unwrap();
    let back = |who: &str| Command::WithdrawApproval { by: person(who).id(), reason: None };
    assert_eq!(refused(&mut world, &back("carol")), Refusal::NoApproval(person("carol").id()));
    world.act(0, &back("bob")).unwrap();
    assert_eq!(refused(&mut world, &back("bob")), Refusal::NoApproval(person("bob").id()));
    assert_eq!(refused(&mut world, &shown), Refusal::Content);
    world.act(0, &world.approve(0, &person("carol"), "sre")).unwrap();
    assert_eq!(world.cases[0].phase(), Phase::AwaitingApprovals);
    world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
    assert_eq!(world.cases[0].phase(), Phase::Approved);
    // It had its effect.
    assert_eq!(refused(&mut world, &back("bob")), Refusal::NoApproval(person("bob").id()));
    clean(&world);
}

#[test]
fn nobody_makes_a_case_grow_by_approving_and_taking_it_back() {
    let mut world = asked([quorum(&[("sre", 2)])]);
    let back = Command::WithdrawApproval { by: person("bob").id(), reason: None };
    for _ in 0..MAX_CHANGES {
        world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
        world.act(0, &back).unwrap();
    }
    world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
    assert_eq!(refused(&mut world, &back), Refusal::TooManyChanges);
    assert_eq!(refused(&mut world, &narrow("dave", scope(READ, &["read"]), window(0, 60))), Refusal::TooManyChanges);
    clean(&world);
}

#[test]
fn groups_are_asked_in_order_each_in_its_time_and_then_the_request_lapses() {
    let steps = [(600, "leads"), (300, "board")];
    let mut world = asked([escalating("sre", 1, &steps), deadline(1200)]);
    assert_eq!(world.cases[0].approvals_due(), Some(world::at(1200)));
    let early = world.approve(0, &person("bob"), "leads");
    assert_eq!(refused(&mut world, &early), Refusal::GroupNotAsked(group("leads")));
    assert_eq!(world.cases[0].due_command(world::at(599)), None);
    for (at, to) in [(600, "leads"), (900, "board")] {
        world.clock.set(world::at(at));
        assert_eq!(world.cases[0].due_command(world.now()), Some(Command::Escalate));
        world.act(0, &Command::Escalate).unwrap();
        let Event::ApprovalEscalated(e) = world.records.last().unwrap().event().unwrap() else { panic!() };
        assert_eq!(e.to, group(to));
        assert_eq!(e.next, Some(world::at(if at == 600 { 900 } else { 1200 })));
    }
    assert_eq!(world.cases[0].missing_approvals(), [(group("sre"), 1)]);
    // Whoever was asked first may still answer; in time.
    let act = world.approve(0, &person("bob"), "sre");
    world.clock.set(world::at(1200));
    assert_eq!(refused(&mut world, &act), Refusal::DeadlinePassed(world::at(1200)));
    assert_eq!(world.cases[0].due_command(world.now()), Some(Command::Lapse));
    world.act(0, &Command::Lapse).unwrap();
    assert_eq!(world.cases[0].phase(), Phase::Lapsed);
    clean(&world);
}

#[test]
fn an_approval_of_a_group_asked_later_counts_for_the_one_that_did_not_answer() {
    let mut world = asked([escalating("sre", 2, &[(600, "leads")])]);
    world.act(0, &world.approve(0, &person("bob"), "sre")).unwrap();
    world.clock.set(world::at(600));
    world.act(0, &Command::Escalate).unwrap();
    world.act(0, &world.approve(0, &person("carol"), "leads")).unwrap();
    assert_eq!(world.cases[0].phase(), Phase::Approved);
    clean(&world);
}

#[test]
fn the_owner_of_an_agent_approves_only_where_a_policy_says_so() {
    let robot = agent("robot", AgentMode::Autonomous);
    let mut world = asked_by(robot, [quorum(&[("sre", 1)])]);
    let owner = person("owner");
    let approve = world.approve(0, &owner, "sre");
    assert_eq!(refused(&mut world, &approve), Refusal::Interested(owner.id()));
    let judge =
        |obligations: Vec<Obligation>| Command::JudgeApprover { by: owner.id(), evaluated: permit(obligations) };
    assert_eq!(refused(&mut world, &judge(Vec::new())), Refusal::Interested(owner.id()));
    world.act(0, &judge(vec![condition("owner_may_approve", true)])).unwrap();
    world.act(0, &approve).unwrap();
    assert_eq!(world.cases[0].phase(), Phase::Approved);
    clean(&world);
    // The permission is for this one act: nothing of it is left for another.
    let mut other = asked_by(agent("robot", AgentMode::Autonomous), [quorum(&[("sre", 1)])]);
    other.act(0, &judge(vec![condition("owner_may_approve", true)])).unwrap();
    other.act(0, &Command::WithdrawApproval { by: person("zoe").id(), reason: None }).unwrap_err();
    let approve = other.approve(0, &owner, "sre");
    assert_eq!(refused(&mut other, &approve), Refusal::Interested(owner.id()));
}

#[test]
fn whom_the_policy_does_not_let_approve_is_refused_and_the_decision_is_on_record() {
    let mut world = asked([quorum(&[("sre", 1)])]);
    let by = person("bob").id();
    let judge = Command::JudgeApprover { by: by.clone(), evaluated: decision(Outcome::Deny, []) };
    assert_eq!(refused(&mut world, &judge), Refusal::NotEligible(by));
    let kinds: Vec<_> = world.records.iter().rev().take(2).map(|r| r.header().kind.to_string()).collect();
    assert_eq!(kinds, ["command.refused", "policy.evaluated"]);
    for _ in 0..2 * MAX_REFUSALS {
        world.act(0, &judge).unwrap_err();
    }
    let size = world.records.len();
    world.act(0, &judge).unwrap_err();
    assert_eq!(world.records.len(), size, "whoever may not approve makes no case grow without end");
    clean(&world);
}

#[test]
fn what_is_no_longer_permitted_is_not_granted_by_its_last_approval() {
    let mut world = asked([quorum(&[("sre", 1)])]);
    let stricter = permit([quorum(&[("sre", 2)])]);
    assert_eq!(world.act(0, &Command::Confirm(stricter)), Err(Refusal::NoLongerPermitted));
    assert_eq!(world.cases[0].phase(), Phase::Denied);
    clean(&world);
}

#[test]
fn a_signature_is_of_what_is_approved_or_of_the_list_that_has_it() {
    let world = || asked([quorum(&[("sre", 1)])]);
    let own = approval(world().approve(0, &person("bob"), "sre"));
    let other = ApprovalContent { approver: person("carol").id(), ..own.content.clone() };
    let list = ApprovalList::of([&other, &own.content]).unwrap();
    let foreign = ApprovalList::of([&other]).unwrap();
    let by_list = Some(signed(&own.content, Some(&list)));
    let opaque = ApprovalSignature { scheme: word("webauthn"), ..signed(&own.content, None) };
    for (what, signature, list, answer) in [
        ("signed", Some(signed(&own.content, None)), None, Ok(())),
        ("of something else", Some(signed(&other, None)), None, Err(Refusal::Signature)),
        ("a list, signed", by_list.clone(), Some(list.clone()), Ok(())),
        ("a list, unsigned", None, Some(list.clone()), Ok(())),
        ("a list that does not show it", None, Some(foreign), Err(Refusal::Content)),
        ("a signature of the list without the list", by_list, None, Err(Refusal::Signature)),
        (
            "a signature of the content with a list",
            Some(signed(&own.content, None)),
            Some(list),
            Err(Refusal::Signature),
        ),
        ("a scheme that is not known", Some(opaque), None, Ok(())),
    ] {
        let mut world = world();
        let act = Command::Approve(Approve { signature, list, ..own.clone() });
        assert_eq!(world.act(0, &act), answer, "{what}");
        clean(&world);
    }
}

#[test]
fn a_forged_signature_or_list_on_record_is_found() {
    let world = || asked([quorum(&[("sre", 1)])]);
    let own = approval(world().approve(0, &person("bob"), "sre"));
    let other = ApprovalContent { approver: person("carol").id(), ..own.content.clone() };
    let list = ApprovalList::of([&own.content]).unwrap();
    let mut good = world();
    let act = Approve { signature: Some(signed(&own.content, Some(&list))), list: Some(list), ..own.clone() };
    good.act(0, &Command::Approve(act)).unwrap();
    let of_approval = good.records.iter().rev().find(|r| r.header().kind == Kind::ApprovalRecorded).unwrap();
    let Event::ApprovalRecorded(recorded) = of_approval.event().unwrap() else { panic!() };
    let written = |event: ApprovalRecorded| {
        let mut forged = world();
        let stream = forged.cases[0].stream();
        forged.write(stream, event.into(), of_approval.header().refs.clone());
        forged.findings(forged.now())
    };
    assert_eq!(written(recorded.clone()), []);
    let swapped = ApprovalRecorded { list: ApprovalList::of([&other]).ok(), ..recorded.clone() };
    let resigned = ApprovalRecorded { signature: Some(signed(&other, None)), ..recorded.clone() };
    let of_another = ApprovalRecorded { approver: person("dave").id(), ..recorded };
    for (what, event) in [("another list", swapped), ("another signature", resigned), ("another approver", of_another)]
    {
        let findings = written(event);
        assert!(!findings.is_empty(), "{what}");
        assert!(findings.iter().all(|f| f.is_violated() && f.invariant == InvariantId::Inv08), "{what}: {findings:#?}");
    }
}

/// An agent's request that is narrowed, escalated, and approved by its owner, whom the policy lets; and an emergency that is looked
/// after late.
fn story() -> World {
    let demand = Obligation::Justification(JustificationDemand::default().ticket("INC-#".parse().unwrap()));
    let obligations = [escalating("sre", 1, &[(600, "leads")]), at_most(7200), demand];
    let mut world = asked_by(agent("robot", AgentMode::Autonomous), obligations.clone());
    let narrowed = narrow("dave", scope(READ, &["read"]), window(0, 1800));
    world.act(0, &narrowed).unwrap();
    world.clock.set(world::at(600));
    world.act(0, &Command::Escalate).unwrap();
    let owner = person("owner");
    let evaluated = permit([condition("owner_may_approve", true)]);
    world.act(0, &Command::JudgeApprover { by: owner.id(), evaluated }).unwrap();
    world.act(0, &Command::Confirm(permit(obligations))).unwrap();
    let approve = Approve { group: group("leads"), ..approval(world.approve(0, &owner, "sre")) };
    world.act(0, &Command::Approve(approve)).unwrap();

    world.open_case();
    let wanted = scope("host:prod/db-1", &["ssh"]);
    let emergency = Request::break_glass(person("alice"), wanted, window(600, 1200), break_glass(), retain());
    world.act(1, &Command::Submit(emergency.build().unwrap())).unwrap();
    world.act(1, &Command::Evaluate(permit([]))).unwrap();
    let told = Command::Announced { channel: word("pager"), failure: None, retry_at: None };
    world.act(1, &told).unwrap();
    world.clock.set(world::at(9000));
    for case in 0..2 {
        while let Some(due) = world.cases[case].due_command(world.now()) {
            world.act(case, &due).unwrap();
        }
    }
    let of = |task: &str| {
        let mut all = world.cases[1].obligations().iter();
        *all.find(|(_, o)| o.task == word(task)).unwrap().0
    };
    let (review, justification) = (of("review"), of("justification"));
    let close = |obligation, by: &str| Command::CloseObligation {
        obligation,
        by: person(by),
        finding: word("in_order"),
        text: Prose::new("the database was down").ok(),
    };
    world.act(1, &close(justification, "alice")).unwrap();
    world.act(1, &Command::JudgeReviewer { by: person("zoe").id(), evaluated: permit([]) }).unwrap();
    world.act(1, &close(review, "zoe")).unwrap();
    world.act(1, &Command::Close).unwrap();
    world
}

macro_rules! content {
    ($forgery:expr, $world:expr, $case:expr, $kind:ident, $nth:expr) => {
        match &mut $forgery.get($world.cases[$case].stream(), &Kind::$kind, $nth).event {
            Event::$kind(content) => content,
            other => panic!("{other:?}"),
        }
    };
}

type Edit = fn(&mut Forgery, &World);

const VIOLATIONS: &[(InvariantId, &str, Edit)] = &[
    (InvariantId::Inv07, "the owner approves by nobody's leave", |f, w| {
        content!(f, w, 0, ApprovalRecorded, 0).eligibility = None;
    }),
    (InvariantId::Inv07, "the policy lets the owner approve, but not as owner", |f, w| {
        content!(f, w, 0, PolicyEvaluated, 1).decision.obligations = Obligations::default();
    }),
    (InvariantId::Inv07, "the policy does not let the approver approve", |f, w| {
        content!(f, w, 0, PolicyEvaluated, 1).decision.outcome = Outcome::Deny;
    }),
    (InvariantId::Inv07, "the policy was asked about somebody else", |f, w| {
        content!(f, w, 0, PolicyEvaluated, 1).about = Some(person("carol").id());
    }),
    (InvariantId::Inv07, "the policy was asked about another request", |f, w| {
        f.get(w.cases[0].stream(), &Kind::PolicyEvaluated, 1).refs.cause = None;
    }),
    (InvariantId::Inv08, "granted though no longer permitted", |f, w| {
        content!(f, w, 0, PolicyEvaluated, 2).decision.outcome = Outcome::Deny;
    }),
    (InvariantId::Inv08, "granted though the policy demands more", |f, w| {
        content!(f, w, 0, PolicyEvaluated, 2).decision.obligations =
            Obligations::merge([quorum(&[("sre", 3)])]).unwrap();
    }),
    (InvariantId::Inv08, "the confirmation is of nothing", |f, w| {
        f.get(w.cases[0].stream(), &Kind::PolicyEvaluated, 2).refs.cause = None;
    }),
    (InvariantId::Inv08, "what was narrowed away is approved", |f, w| {
        content!(f, w, 0, ApprovalRecorded, 0).approved = window(0, 3600);
    }),
    (InvariantId::Inv06, "narrowing widens the scope", |f, w| {
        let wide = scope("database:prod", &["read"]);
        content!(f, w, 0, ApprovalNarrowed, 0).scope = wide.clone();
        content!(f, w, 0, ApprovalRecorded, 0).scope = wide.clone();
        content!(f, w, 0, GrantApproved, 0).scope = wide;
    }),
    (InvariantId::Inv05, "granted beyond what narrowing left", |f, w| {
        content!(f, w, 0, GrantApproved, 0).approved = window(600, 1801);
        content!(f, w, 0, GrantExpired, 0).ending.planned_end = window(600, 1801).end();
    }),
    (InvariantId::Inv09, "another group was asked too early", |f, w| {
        f.get(w.cases[0].stream(), &Kind::ApprovalEscalated, 0).at = world::at(10);
    }),
    (InvariantId::Inv09, "another group was asked than the policy has in store", |f, w| {
        let other = group("friends");
        content!(f, w, 0, ApprovalEscalated, 0).to = other.clone();
        content!(f, w, 0, ApprovalRecorded, 0).group = Some(other);
    }),
    (InvariantId::Inv09, "a group approves that was not asked", |f, w| {
        f.remove(w.cases[0].stream(), &Kind::ApprovalEscalated, 0);
    }),
    (InvariantId::Inv10, "the justification lacks what the policy demands", |f, w| {
        content!(f, w, 0, RequestSubmitted, 0).justification = Justification::new("because").ok();
    }),
    (InvariantId::Inv10, "nobody says that the justification is late", |f, _| {
        f.0.retain(|s| !matches!(&s.event, Event::ObligationOverdue(e) if e.task == word("justification")));
    }),
    (InvariantId::Inv19, "nobody says that the review is late", |f, _| {
        f.0.retain(|s| !matches!(&s.event, Event::ObligationOverdue(e) if e.task == word("review")));
    }),
    (InvariantId::Inv19, "the policy does not let the reviewer review", |f, w| {
        content!(f, w, 1, PolicyEvaluated, 1).decision.outcome = Outcome::Deny;
    }),
    (InvariantId::Inv19, "the policy was asked about another reviewer", |f, w| {
        content!(f, w, 1, PolicyEvaluated, 1).about = Some(person("yan").id());
    }),
];

#[test]
fn each_violation_of_judging_is_reported_under_its_id_and_no_other() {
    let world = story();
    clean(&world);
    for (id, what, edit) in VIOLATIONS {
        let mut forgery = Forgery::of(&world.records);
        edit(&mut forgery, &world);
        let findings = world::findings(&forgery.seal(), world.now());
        let ids: BTreeSet<InvariantId> = findings.iter().map(|f| f.invariant).collect();
        assert!(findings.iter().all(Finding::is_violated), "{what}: {findings:#?}");
        assert_eq!(ids, BTreeSet::from([*id]), "{what}: {findings:#?}");
    }
}

#[test]
fn an_emergency_stays_within_its_limits() {
    let emergency = |length: u64, review: u32, justify: u32| {
        let declared = BreakGlass {
            review_within: world::seconds(review),
            justify_within: world::seconds(justify),
            ..break_glass()
        };
        let wanted = scope("host:prod/db-1", &["ssh"]);
        Request::break_glass(person("alice"), wanted, window(0, length), declared, retain())
    };
    let limits = RequestLimits {
        emergency: EmergencyLimits {
            longest: Duration::from_secs(3600),
            review_within: Duration::from_secs(7200),
            justify_within: Duration::from_secs(600),
        },
        ..RequestLimits::default()
    };
    let check = |request: RequestBuilder| request.build().unwrap().check_submittable(world::at(0), &limits);
    assert_eq!(check(emergency(3600, 7200, 600)), Ok(()));
    assert_eq!(check(emergency(3601, 7200, 600)), Err(RequestError::EmergencyTooLong { max_s: 3600 }));
    assert_eq!(check(emergency(3600, 7201, 600)), Err(RequestError::ReviewTooLate { max_s: 7200 }));
    assert_eq!(check(emergency(3600, 7200, 601)), Err(RequestError::JustificationTooLate { max_s: 600 }));
    // Nothing is deferred where it is given at once.
    let given = emergency(3600, 7200, 601).justification(Justification::new("INC-7").unwrap());
    assert_eq!(check(given), Ok(()));
}

#[test]
fn a_justification_has_what_broker_and_policy_demand_or_says_what_it_lacks() {
    let demand = JustificationDemand::default().min_length(8).ticket("CHG-#".parse().unwrap());
    let submit = |why: &str, limits: RequestLimits| {
        let why = Justification::new(why).unwrap();
        let request = Request::builder(person("alice"), scope(READ, &["read"]), window(0, 60), why, retain());
        request.build().unwrap().check_submittable(world::at(0), &limits).map_err(|e| e.code().to_string())
    };
    let demanding = RequestLimits { justification: demand.clone(), ..RequestLimits::default() };
    assert_eq!(submit("CHG-7", demanding.clone()), Err("justification_too_short".to_owned()));
    assert_eq!(submit("because I can", demanding.clone()), Err("ticket_missing".to_owned()));
    assert_eq!(submit("rollout, CHG-7", demanding), Ok(()));

    let mut world = World::new();
    world.open_case();
    let why = Justification::new("restore order 42, INC-7").unwrap();
    let request = Request::builder(person("alice"), scope(READ, &["read"]), window(0, 60), why, retain());
    world.act(0, &Command::Submit(request.build().unwrap())).unwrap();
    world.act(0, &Command::Evaluate(permit([Obligation::Justification(demand)]))).unwrap();
    let Event::GrantDenied(denied) = world.records.last().unwrap().event().unwrap() else { panic!() };
    assert_eq!((denied.cause, world.cases[0].phase()), (word("ticket_missing"), Phase::Denied));
    clean(&world);
}

/// An attempt to approve: by whom, for which group, with what sleight.
#[derive(Debug, Clone)]
struct Attempt {
    who: u8,
    group: u8,
    sleight: u8,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let attempt =
        (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(who, group, sleight)| Attempt { who, group, sleight });
    proptest::collection::vec(attempt, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever tries what, in whatever order: once access is granted, enough different people of each group have approved exactly
    /// what was granted, and none of them is the requester, the recipient, the principal, the owner, or a holder above.
    #[test]
    fn a_quorum_is_met_by_different_people_without_an_interest_who_were_shown_what_is_granted(
        sre in 1u16..3, dba in 0u16..3, all in attempts(),
    ) {
        let mode = AgentMode::OnBehalfOf(Delegation::new(person("carol").id(), vec![person("chain").id()]).unwrap());
        let groups: Vec<_> = [("sre", sre), ("dba", dba)].into_iter().filter(|(_, n)| *n > 0).collect();
        let mut world = World::new();
        let above = world.open_case();
        let why = || Justification::new("restore order 42, INC-7").unwrap();
        let parent = Request::builder(person("holder"), scope(READ, &["read", "write"]), window(0, 3600), why(), retain());
        world.act(above, &Command::Submit(parent.build().unwrap())).unwrap();
        world.act(above, &Command::Evaluate(permit([]))).unwrap();
        let case = world.open_case();
        let request = Request::builder(agent("robot", mode), scope(READ, &["read", "write"]), window(0, 3600), why(), retain());
        let request = request.parent(world.parent(above).unwrap()).build().unwrap();
        world.act(case, &Command::Submit(request)).unwrap();
        world.act(case, &Command::Evaluate(permit([quorum(&groups)]))).unwrap();
        let people = ["bob", "bob", "dave", "erin", "carol", "chain", "owner", "holder", "robot"];
        let interested: BTreeSet<PrincipalId> = world.cases[case].barred().into_iter().collect();
        let stale = world.cases[case].approval_content(&person("bob")).unwrap();
        for Attempt { who, group: of, sleight } in all {
            let approver = match usize::from(who) % 10 {
                9 => agent("robot", AgentMode::Autonomous),
                i => person(people[i]),
            };
            let Some(mut content) = world.cases[case].approval_content(&approver) else { break };
            match sleight % 9 {
                0 => content.window = window(0, 7200),
                1 => content.decision = content.request,
                2 => content.approver = person("dave").id(),
                3 => content = stale.clone(),
                4 => content.policy = PolicyDigest::from_bytes([8; 32]),
                5 => {
                    let less = Narrow {
                        approver,
                        group: group("sre"),
                        member_of: everyone(),
                        scope: scope(READ, &["read"]),
                        window: window(0, 600 + u64::from(sleight)),
                    };
                    let _refused_or_not = world.act(case, &Command::Narrow(less));
                    continue;
                }
                _ => {}
            }
            let approve = Approve {
                approver,
                group: group(if of % 2 == 0 { "sre" } else { "dba" }),
                member_of: everyone(),
                content,
                comment: None,
                authentication: None,
                signature: None,
                list: None,
            };
            let _refused_or_not = world.act(case, &Command::Approve(approve));
        }
        if let Some(grant) = world.cases[case].grant() {
            let counting: Vec<_> = world.cases[case].counting_approvals().map(|a| &a.approval).collect();
            let approvers: BTreeSet<_> = counting.iter().map(|a| &a.approver).collect();
            prop_assert_eq!(approvers.len(), counting.len());
            prop_assert!(approvers.iter().all(|who| !interested.contains(who)), "{:?}", approvers);
            for (of, count) in &groups {
                let given = counting.iter().filter(|a| a.group.as_ref() == Some(&group(of))).count();
                prop_assert_eq!(given, usize::from(*count));
            }
            prop_assert!(counting.iter().all(|a| a.scope == grant.approved.scope && grant.approved.approved.is_within(&a.approved)));
        }
        prop_assert_eq!(world.findings(world.now()), []);
    }

    /// However an emergency goes, and whoever looks after it when: its review is closed by somebody else, or it is on record that
    /// it is late.
    #[test]
    fn break_glass_ends_with_a_review_that_is_closed_or_said_to_be_late(
        permitted in any::<bool>(), steps in proptest::collection::vec((any::<u8>(), 0u64..1500), 0..12),
    ) {
        let mut world = World::new();
        world.open_case();
        let wanted = scope("host:prod/db-1", &["ssh"]);
        let emergency = Request::break_glass(person("alice"), wanted, window(0, 600), break_glass(), retain());
        world.act(0, &Command::Submit(emergency.build().unwrap())).unwrap();
        let outcome = if permitted { Outcome::Permit } else { Outcome::Deny };
        world.act(0, &Command::Evaluate(decision(outcome, []))).unwrap();
        let review = *world.cases[0].obligations().iter().find(|(_, o)| o.task == word("review")).unwrap().0;
        for (n, seconds) in steps {
            world.advance(seconds);
            let by = person(["alice", "zoe", "alice", "alice"][usize::from(n % 4)]);
            let _refused_or_not = match n % 5 {
                0 => {
                    let text = Prose::new("reviewed").ok();
                    world.act(0, &Command::CloseObligation { obligation: review, by, finding: word("in_order"), text })
                }
                1 => world.act(0, &Command::JudgeReviewer { by: by.id(), evaluated: permit([]) }),
                2 => world.act(0, &Command::Close),
                _ => world.cases[0].due_command(world.now()).map_or(Ok(()), |due| world.act(0, &due)),
            };
            prop_assert!(!world.cases[0].is_closed() || world.cases[0].obligations()[&review].closed);
        }
        world.advance(7200);
        while let Some(due) = world.cases[0].due_command(world.now()) {
            world.act(0, &due).unwrap();
        }
        let end = &world.cases[0].obligations()[&review];
        prop_assert!(end.closed || end.overdue);
        prop_assert_eq!(world.findings(world.now()), []);
    }
}
