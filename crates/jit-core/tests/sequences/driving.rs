//! Sequences of operations, and what follows from them: children end, due work is done, cases are closed.

use std::{collections::BTreeMap, time::Duration};

use jit_core::*;

use super::{
    commands::{command, robot},
    operations::{Op, beginning},
};
use crate::world::{CLOCK_ERROR, ClockBehind, World, person, word};

/// Runs one operation; refused commands must leave the phase as it was.
fn run(world: &mut World, case: usize, op: &Op) {
    match op {
        Op::Advance { seconds } => return world.advance(u64::from(*seconds)),
        Op::StepBack { millis } => {
            let now = world.now();
            world.clock.set(now.saturating_sub(Duration::from_millis(u64::from(*millis))));
            if Duration::from_millis(u64::from(*millis)) > CLOCK_ERROR * 2 {
                // Beyond what two clocks may differ nothing can be recorded of a case that has just been written to.
                let before = world.records.len();
                let answer = world.try_act(case, &Command::Withdraw { by: person("eve").id(), reason: None });
                assert!(answer.is_ok() || world.records.len() == before);
                world.clock.set(now);
            }
            return;
        }
        _ => {}
    }
    let Some(command) = command(world, case, op) else { return };
    let before = world.cases[case].phase();
    let shown = match &command {
        Command::Approve(act) => world.cases[case].approval_content(&act.approver).as_ref() == Some(&act.content),
        _ => true,
    };
    let answer = world.try_act(case, &command);
    let after = world.cases[case].phase();
    assert!(shown || !matches!(answer, Ok(Ok(()))), "approved what was not asked");
    match answer {
        Ok(Ok(())) => end_child(world),
        Ok(Err(Refusal::NoLongerPermitted)) => {
            // An extension that is no longer permitted leaves the grant as it was.
            let expected =
                if matches!(command, Command::Confirm(_)) { [Phase::Denied, before] } else { [Phase::Ended; 2] };
            assert!(expected.contains(&after), "{after:?}");
            end_child(world);
        }
        Ok(Err(Refusal::Request(_))) if matches!(command, Command::Submit(_)) => {
            assert_eq!((before, after), (Phase::New, Phase::Refused))
        }
        Ok(Err(_)) | Err(ClockBehind) => assert_eq!(before, after, "{command:?}"),
    }
}

/// Ending a parent ends its child.
fn end_child(world: &mut World) {
    let derived = world.cases[1].request().is_some_and(|r| r.submitted.parent.is_some());
    let ended = world.cases[0].grant().and_then(|g| g.end.as_ref()).map(|e| e.leaf);
    if let (true, Some(leaf), Phase::Approved | Phase::Activated) = (derived, ended, world.cases[1].phase()) {
        let by = EndBy::Parent(leaf);
        // A clock that stands too far back leaves it to the next sweep.
        let _later = world.try_act(1, &Command::End { by, cause: word("parent_ended"), reason: None });
    }
}

/// Brings a case to its close, as sweeps and a diligent reviewer would.
fn settle(world: &mut World, case: usize) {
    for _ in 0..64 {
        let known = &world.cases[case];
        if known.is_closed() || known.head().is_none() {
            return;
        }
        let credential = |want: fn(&CaseCredential) -> bool| {
            known.credentials().iter().find(|(_, c)| want(c)).map(|(id, c)| (*id, c.clone()))
        };
        let obligation = known.obligations().iter().find(|(_, o)| !o.closed).map(|(id, o)| (*id, o.task.clone()));
        let command = if let Some((credential, c)) = credential(CaseCredential::is_unresolved) {
            match c.mint {
                MintState::Unknown => {
                    Command::MintReconciled { credential, existing: None, finding: word("never_existed") }
                }
                _ => Command::MintUnknown { credential, cause: word("no_outcome"), reconcile_at: world.now() },
            }
        } else if let Some((credential, c)) = credential(CaseCredential::is_being_revoked) {
            match c.revocation {
                RevocationState::Unknown => {
                    Command::RevocationReconciled { credential, dead: true, finding: word("gone"), retry_at: None }
                }
                _ => Command::Revocation {
                    credential,
                    outcome: RevocationOutcome::Unknown { cause: word("no_outcome"), reconcile_at: world.now() },
                },
            }
        } else if let Some(due) = known.due_command(world.now()) {
            due
        } else if let Some((obligation, task)) = obligation {
            let by = if task == word("review") { person("zoe") } else { person("alice") };
            let by = if known.interested().contains(&by.id()) || task == word("review") { by } else { robot(known) };
            Command::CloseObligation { obligation, by, finding: word("done"), text: Prose::new("it was needed").ok() }
        } else {
            return;
        };
        world.act(case, &command).unwrap();
        end_child(world);
    }
    panic!("the case does not settle: {:?}", world.cases[case]);
}

fn due_of(records: &[Record]) -> BTreeMap<DueId, Timestamp> {
    let mut due = BTreeMap::new();
    for record in records {
        let projection = project(record);
        due.retain(|id, _| !projection.done.contains(id));
        due.extend(projection.due);
    }
    due
}

pub(crate) fn try_sequence(begin: u8, ops: &[(bool, Op)]) -> World {
    let mut world = World::new();
    world.open_case();
    world.open_case();
    for (second, op) in beginning(begin).iter().chain(ops) {
        run(&mut world, usize::from(*second), op);
    }
    // Time passes, and whatever is due is done. What was violated before stays so.
    world.advance(7200);
    (0..2).for_each(|case| settle(&mut world, case));
    world.advance(86_400);
    assert_eq!(world.findings(world.now()), []);
    let due = due_of(&world.records);
    for case in &world.cases {
        assert!(case.is_closed() || case.head().is_none(), "{case:?}");
        assert!(due.keys().all(|id| id.stream != case.stream()), "{due:?}");
        // Formatting is slow; a fifth of the sequences shows the same.
        if !begin.is_multiple_of(5) {
            continue;
        }
        let own = world.records.iter().filter(|r| r.header().stream == case.stream());
        let folded = Case::new(world.recorder.log().clone(), case.id()).fold_all(own).unwrap();
        assert_eq!(format!("{folded:?}"), format!("{case:?}"));
    }
    world
}
