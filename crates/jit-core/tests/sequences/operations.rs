//! What is tried: operations picked at random, honest and hostile ones.

use proptest::prelude::*;

/// What is tried on one of the two cases. Numbers pick among honest and hostile variants.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// What an honest broker would do next.
    Next(u8),
    Submit(u8),
    Evaluate(u8),
    Approve {
        who: u8,
        group: u8,
        forged: u8,
    },
    Confirm(u8),
    JudgeApprover {
        who: u8,
        n: u8,
    },
    JudgeReviewer {
        who: u8,
        n: u8,
    },
    WithdrawApproval {
        who: u8,
    },
    Narrow {
        who: u8,
        group: u8,
        how: u8,
    },
    Escalate,
    Overdue {
        which: bool,
    },
    Announced {
        failed: bool,
    },
    Deny {
        who: u8,
        group: u8,
    },
    Withdraw {
        who: u8,
    },
    Lapse,
    Intend {
        again: u8,
        window: u8,
    },
    Prepared {
        wrong: u8,
    },
    Issued {
        wrong: u8,
    },
    MintFailed,
    MintUnknown,
    MintReconciled {
        exists: bool,
    },
    Open(u8),
    Extend {
        who: u8,
        by: u8,
    },
    EvaluateExtension(u8),
    WithdrawExtension {
        who: u8,
    },
    LapseExtension,
    Renew {
        again: u8,
    },
    Expire,
    End {
        by: u8,
    },
    IntendRevocation,
    Revocation {
        outcome: u8,
    },
    RevocationReconciled {
        dead: bool,
        retry: bool,
    },
    DemandRevocation {
        who: u8,
    },
    HandOver {
        to: u8,
    },
    /// The bulk act, bar, other grant or finding at the target that ends the grant.
    EndFor {
        what: u8,
    },
    CredentialExpired,
    CloseObligation {
        who: u8,
        which: bool,
        text: bool,
    },
    Close,
    Advance {
        seconds: u16,
    },
    StepBack {
        millis: u16,
    },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let b = any::<u8>;
    prop_oneof![
        14 => b().prop_map(Op::Next),
        2 => b().prop_map(Op::Submit),
        2 => b().prop_map(Op::Evaluate),
        5 => (b(), b(), b()).prop_map(|(who, group, forged)| Op::Approve { who, group, forged }),
        1 => b().prop_map(Op::Confirm),
        2 => (b(), b()).prop_map(|(who, n)| Op::JudgeApprover { who, n }),
        1 => (b(), b()).prop_map(|(who, n)| Op::JudgeReviewer { who, n }),
        1 => b().prop_map(|who| Op::WithdrawApproval { who }),
        2 => (b(), b(), b()).prop_map(|(who, group, how)| Op::Narrow { who, group, how }),
        1 => Just(Op::Escalate),
        1 => any::<bool>().prop_map(|which| Op::Overdue { which }),
        1 => any::<bool>().prop_map(|failed| Op::Announced { failed }),
        1 => (b(), b()).prop_map(|(who, group)| Op::Deny { who, group }),
        1 => b().prop_map(|who| Op::Withdraw { who }),
        1 => Just(Op::Lapse),
        4 => (b(), b()).prop_map(|(again, window)| Op::Intend { again, window }),
        1 => b().prop_map(|wrong| Op::Prepared { wrong }),
        3 => b().prop_map(|wrong| Op::Issued { wrong }),
        1 => Just(Op::MintFailed),
        2 => Just(Op::MintUnknown),
        2 => any::<bool>().prop_map(|exists| Op::MintReconciled { exists }),
        1 => b().prop_map(Op::Open),
        3 => (b(), b()).prop_map(|(who, by)| Op::Extend { who, by }),
        3 => b().prop_map(Op::EvaluateExtension),
        1 => b().prop_map(|who| Op::WithdrawExtension { who }),
        1 => Just(Op::LapseExtension),
        2 => b().prop_map(|again| Op::Renew { again }),
        1 => Just(Op::Expire),
        2 => b().prop_map(|by| Op::End { by }),
        3 => Just(Op::IntendRevocation),
        3 => b().prop_map(|outcome| Op::Revocation { outcome }),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(dead, retry)| Op::RevocationReconciled { dead, retry }),
        3 => b().prop_map(|who| Op::DemandRevocation { who }),
        2 => b().prop_map(|to| Op::HandOver { to }),
        2 => b().prop_map(|what| Op::EndFor { what }),
        1 => Just(Op::CredentialExpired),
        2 => (b(), any::<bool>(), any::<bool>()).prop_map(|(who, which, text)| Op::CloseObligation { who, which, text }),
        1 => Just(Op::Close),
        3 => (0u16..900).prop_map(|seconds| Op::Advance { seconds }),
        1 => (0u16..2500).prop_map(|millis| Op::StepBack { millis }),
    ]
}

/// How a world begins: some sequences start where it takes many honest steps to come to.
pub(crate) fn beginning(n: u8) -> Vec<(bool, Op)> {
    let issue = |second: bool, submit: u8| {
        let intend = Op::Intend { again: 15, window: 5 };
        [Op::Submit(submit), Op::Evaluate(3), intend, Op::Issued { wrong: 255 }].map(|op| (second, op)).to_vec()
    };
    match n % 10 {
        0 => Vec::new(),
        // People are asked about an agent's request, with escalations and a deadline; its owner may approve, and does.
        6 => {
            let owner = Op::JudgeApprover { who: 4, n: 1 };
            let approve = Op::Approve { who: 4, group: 0, forged: 100 };
            [Op::Submit(75), Op::Evaluate(8), owner, approve].map(|op| (false, op)).to_vec()
        }
        7 => {
            [Op::Submit(72), Op::Evaluate(8), Op::Advance { seconds: 310 }, Op::Escalate].map(|op| (false, op)).to_vec()
        }
        9 => {
            let leads = Op::Approve { who: 1, group: 4, forged: 100 };
            [Op::Submit(72), Op::Evaluate(8), Op::Advance { seconds: 310 }, Op::Escalate, leads]
                .map(|op| (false, op))
                .to_vec()
        }
        // Two people, of whom one takes it back.
        8 => {
            let approve = Op::Approve { who: 1, group: 0, forged: 100 };
            [Op::Submit(72), Op::Evaluate(9), approve, Op::WithdrawApproval { who: 1 }].map(|op| (false, op)).to_vec()
        }
        1 => issue(false, 72),
        // The second case derives from the first, and in the last one from nothing, on the same entitlement.
        2 => [issue(false, 72), vec![(true, Op::Submit(72)), (true, Op::Evaluate(3))]].concat(),
        3 => [issue(false, 72), issue(true, 72)].concat(),
        // A child that is shorter than its parent, and then longer.
        4 => {
            let longer = [Op::Extend { who: 0, by: 4 }, Op::EvaluateExtension(3)].map(|op| (true, op)).to_vec();
            [issue(false, 72), issue(true, 8), longer].concat()
        }
        _ => [issue(false, 72), issue(true, 76)].concat(),
    }
}
