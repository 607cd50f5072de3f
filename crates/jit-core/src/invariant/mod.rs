//! The invariants as code: one function each, over any range of records.
//!
//! [`check`] answers with what is violated and with what these records cannot show. Whatever it does not name is proven for
//! the streams that are in the history. It trusts nothing that it is not shown: a stream with a gap, or a record without the
//! fields that an invariant needs, makes that invariant not provable there, never violated.

mod absence;
mod approving;
mod asking;
mod authority;
mod bounds;
mod chain;
mod deciding;
mod delegation;
mod ending;
mod finding;
mod history;
mod id;
mod ledger;
mod outcomes;
mod retention;
mod view;

pub use finding::{Finding, Reason, Verdict};
pub use history::{History, SWEEP_ALLOWANCE};
pub use id::{InvariantId, Observation};

use crate::{event::Kind, time::Timestamp};
use finding::Report;
use view::{CaseStream, Entry, View};

/// An invariant of one case: the kinds of records without which it is not provable, and its check.
struct Rule {
    id: InvariantId,
    needs: fn(&Kind) -> bool,
    check: fn(&CaseStream<'_>, &mut Report),
}

const RULES: &[Rule] = &[
    Rule { id: InvariantId::Inv01, needs: authority::needs, check: authority::issuance },
    Rule { id: InvariantId::Inv03, needs: outcomes::needs, check: outcomes::intents },
    Rule { id: InvariantId::Inv04, needs: ending::needs_ends, check: ending::one_end },
    Rule { id: InvariantId::Inv05, needs: bounds::needs, check: bounds::windows },
    Rule { id: InvariantId::Inv06, needs: bounds::needs, check: bounds::scopes },
    Rule { id: InvariantId::Inv07, needs: approving::needs, check: approving::approvers },
    Rule { id: InvariantId::Inv08, needs: approving::needs, check: approving::content },
    Rule { id: InvariantId::Inv09, needs: approving::needs, check: approving::quorums },
    Rule { id: InvariantId::Inv10, needs: asking::needs, check: asking::justification },
    Rule { id: InvariantId::Inv11, needs: deciding::needs, check: deciding::snapshots },
    Rule { id: InvariantId::Inv12, needs: deciding::needs, check: deciding::failing_closed },
    Rule { id: InvariantId::Inv16, needs: asking::needs_request, check: asking::agents },
    Rule { id: InvariantId::Inv19, needs: asking::needs, check: asking::reviews },
    Rule { id: InvariantId::Inv21, needs: ledger::needs, check: ledger::ends },
    Rule { id: InvariantId::Inv22, needs: outcomes::needs, check: ending::credentials },
];

/// Checks every invariant that records can show. `as_of` is the moment up to which the history holds everything recorded
/// in its streams: what is due later is not missing yet.
///
/// The work grows with the records and their sizes, n log n at most.
#[must_use]
pub fn check(history: &History<'_>, as_of: Timestamp) -> Vec<Finding> {
    let entries: Vec<Entry<'_>> = history.records.iter().map(|(index, record)| Entry::new(*index, record)).collect();
    let view = View::new(history, &entries, as_of);
    let mut report = Report::default();
    for case in view.cases() {
        for rule in RULES {
            match case.obstacle(rule.needs) {
                Some((reason, at)) => report.not_provable(rule.id, reason, at, "the case is not here in full"),
                None => (rule.check)(&case, &mut report),
            }
        }
        asking::unreadable_agents(&case, &mut report);
    }
    delegation::children(&view, &mut report);
    chain::numbers_and_links(&view, &mut report);
    chain::roots(&view, &mut report);
    chain::time(&view, &mut report);
    chain::commands(&view, &mut report);
    absence::payloads(&view, &mut report);
    ledger::entries(&view, &mut report);
    report.into_findings()
}
