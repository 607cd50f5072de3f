//! The tables of medians and of goals, in Markdown.

use std::fmt;

use crate::loads::{Kind, Load};
use crate::measuring::Measured;
use crate::results::{Figure, Results};

/// The results as Markdown.
pub(crate) struct Table<'a>(pub(crate) &'a Results);

/// A figure that is to be so many times another.
struct Goal {
    id: &'static str,
    what: &'static str,
    figure: Figure,
    base: Figure,
    wanted: Wanted,
}

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    Shown,
}

fn rate(kind: Kind, callers: usize) -> Figure {
    Figure(Load::new(kind, callers), |measured| measured.events_per_s)
}

fn p50(kind: Kind, callers: usize) -> Figure {
    Figure(Load::new(kind, callers), |measured| measured.p50_us)
}

fn p99(load: Load) -> Figure {
    Figure(load, |measured| measured.p99_us)
}

fn slowest(load: Load) -> Figure {
    Figure(load, |measured| measured.slowest_per_s)
}

fn fastest(load: Load) -> Figure {
    Figure(load, |measured| measured.fastest_per_s)
}

fn goals(results: &Results) -> Vec<Goal> {
    use Wanted::{AtLeast, AtMost, Shown};
    let goal = |id, what, figure, base, wanted| Goal { id, what, figure, base, wanted };
    let four = |callers| Load { processes: 4, ..Load::new(Kind::Ours, callers) };
    let rate_of = |load| Figure(load, |measured: &Measured| measured.events_per_s);
    let mut goals = vec![
        goal("P1", "256 callers ÷ raw", rate(Kind::Ours, 256), rate(Kind::Raw, 256), AtLeast(0.8)),
        goal("P1", "early lock release, 256 callers ÷ raw", rate(Kind::OursEarly, 256), rate(Kind::Raw, 256), Shown),
    ];
    let peers = [Kind::PostgresEs, Kind::Eventually, Kind::Disintegrate];
    let measured =
        peers.into_iter().filter_map(|kind| Some((results.median(&Load::new(kind, 64), |m| m.events_per_s)?, kind)));
    if let Some((_, best)) = measured.max_by(|a, b| a.0.total_cmp(&b.0)) {
        goals.push(goal("P2", "64 callers ÷ best peer", rate(Kind::Ours, 64), rate(best, 64), AtLeast(7.0)));
    }
    goals.extend([
        goal("P2", "64 callers ÷ head lock", rate(Kind::Ours, 64), rate(Kind::HeadLock, 64), AtLeast(20.0)),
        goal(
            "P2",
            "p99 at 64 ÷ p50 of single at 64",
            p99(Load::new(Kind::Ours, 64)),
            p50(Kind::Single, 64),
            AtMost(2.0),
        ),
        goal("P3", "p50 alone ÷ p50 of single alone", p50(Kind::Ours, 1), p50(Kind::Single, 1), AtMost(1.5)),
        goal("P4", "4 processes of 64 callers ÷ one of 256", rate_of(four(64)), rate(Kind::Ours, 256), AtLeast(0.8)),
        goal("P4", "4 processes of 256 callers ÷ one of 256", rate_of(four(256)), rate(Kind::Ours, 256), AtLeast(0.8)),
        goal(
            "P4",
            "worst p99 ÷ p50 of all callers, 4 × 64",
            p99(four(64)),
            Figure(four(64), |m| m.p50_us),
            AtMost(5.0),
        ),
        goal(
            "P4",
            "worst p99 ÷ p50 of all callers, 4 × 256",
            p99(four(256)),
            Figure(four(256), |m| m.p50_us),
            AtMost(5.0),
        ),
        goal("P4", "slowest ÷ fastest process by events, 4 × 64", slowest(four(64)), fastest(four(64)), Shown),
        goal("P4", "slowest ÷ fastest process by events, 4 × 256", slowest(four(256)), fastest(four(256)), Shown),
        goal("P6", "SQLite, 256 callers ÷ raw", rate(Kind::OursSqlite, 256), rate(Kind::RawSqlite, 256), AtLeast(0.7)),
    ]);
    goals
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = self;
        writeln!(f, "| goal | ratio | measured | wanted | |\n|---|---|---|---|---|")?;
        for goal in goals(results) {
            write!(f, "| {} | {} |", goal.id, goal.what)?;
            let Some(ratio) = results.ratio(&goal.figure, &goal.base) else {
                writeln!(f, " not measured | | |")?;
                continue;
            };
            let (wanted, reached) = match goal.wanted {
                Wanted::AtLeast(least) => (format!("≥ {least}"), ratio >= least),
                Wanted::AtMost(most) => (format!("≤ {most}"), ratio <= most),
                Wanted::Shown => (String::new(), true),
            };
            writeln!(f, " {ratio:.2} | {wanted} | {} |", if reached { "" } else { "not reached" })?;
        }
        writeln!(f, "\n| load | callers | events/s | p50 ms | p99 ms |\n|---|---|---|---|---|")?;
        for load in results.loads() {
            write!(f, "| {} | {} |", load.title(), load.callers)?;
            let figures = [
                results.median(load, |m| m.events_per_s).map(|rate| format!("{rate:.0}")),
                results.median(load, |m| m.p50_us).map(|us| format!("{:.2}", us / 1000.0)),
                results.median(load, |m| m.p99_us).map(|us| format!("{:.2}", us / 1000.0)),
            ];
            let retries = results.median(load, |m| m.retries).unwrap_or_default();
            if let [Some(rate), Some(p50), Some(p99)] = figures {
                let conflicts = if retries > 0.0 { format!(" ({retries:.0} false conflicts)") } else { String::new() };
                writeln!(f, " {rate}{conflicts} | {p50} | {p99} |")?;
            } else {
                writeln!(f, " not measured: {} | | |", results.complaint(load).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}
