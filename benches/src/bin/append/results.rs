//! What was measured, one entry a round, and what follows from it.

use std::collections::BTreeMap;

use crate::loads::Load;
use crate::measuring::Measured;

/// The measurements of all loads.
#[derive(Default)]
pub(crate) struct Results {
    rounds: BTreeMap<Load, Vec<Result<Measured, String>>>,
}

impl Results {
    pub(crate) fn add(&mut self, load: Load, measured: Result<Measured, String>) {
        self.rounds.entry(load).or_default().push(measured);
    }

    pub(crate) fn loads(&self) -> impl Iterator<Item = &Load> {
        self.rounds.keys()
    }

    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, load: &Load, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        median(self.rounds.get(load)?.iter().flatten().map(figure).collect())
    }

    /// The median of the ratios of two figures, each taken within one round.
    pub(crate) fn ratio(&self, figure: &Figure, base: &Figure) -> Option<f64> {
        let (figures, bases) = (self.rounds.get(&figure.0)?, self.rounds.get(&base.0)?);
        let pairs = figures
            .iter()
            .zip(bases)
            .filter_map(|(a, b)| Some(((figure.1)(a.as_ref().ok()?), (base.1)(b.as_ref().ok()?))));
        median(pairs.map(|(a, b)| a / b).filter(|ratio| ratio.is_finite()).collect())
    }

    /// Why the load was not measured.
    pub(crate) fn complaint(&self, load: &Load) -> Option<&str> {
        let complaint = self.rounds.get(load)?.iter().find_map(|round| round.as_ref().err())?;
        complaint.lines().next()
    }
}

/// A figure of a load.
pub(crate) struct Figure(pub(crate) Load, pub(crate) fn(&Measured) -> f64);

/// The upper one of the two in the middle.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
