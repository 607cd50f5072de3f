//! How entangled the entities of an input are. An engine that works out every ancestor of every entity does more than linear work,
//! and whoever runs a directory says how much.

use crate::entity::Entity;

/// The most steps from an entity to a parent that finding every ancestor of every entity may take. A chain of 360 groups is within it,
/// and so are a thousand people with fifty direct and indirect groups each.
pub const MAX_ANCESTRY: usize = 1 << 16;

/// Whether entities, which are sorted, keep to [`MAX_ANCESTRY`]. It takes no more steps itself.
pub(crate) fn is_bounded(entities: &[Entity]) -> bool {
    let links = entities.iter().map(|entity| entity.parents.len()).fold(0usize, usize::saturating_add);
    // Nobody can have more ancestors than there are links.
    if links.saturating_mul(entities.len()) <= MAX_ANCESTRY {
        return true;
    }
    let place = |uid| entities.binary_search_by(|entity| entity.uid.cmp(uid)).ok();
    let parents: Vec<Vec<Option<usize>>> = entities.iter().map(|e| e.parents.iter().map(place).collect()).collect();
    let mut steps = 0usize;
    let mut last_met_from: Vec<Option<usize>> = vec![None; entities.len()];
    for from in 0..entities.len() {
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for parent in parents.get(at).into_iter().flatten() {
                steps = steps.saturating_add(1);
                if steps > MAX_ANCESTRY {
                    return false;
                }
                let Some(parent) = *parent else { continue };
                if let Some(met) = last_met_from.get_mut(parent).filter(|met| **met != Some(from)) {
                    *met = Some(from);
                    open.push(parent);
                }
            }
        }
    }
    true
}
