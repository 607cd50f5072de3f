//! One tile's worth of records against the tile that is stored over them: which of the two was changed.

use std::collections::HashMap;
use std::ops::Range;

use jit_log::{Frontier, FullTile, Hash};

use super::damage::Damage;
use super::examined::Examined;
use crate::row::{Head, TileKey, TileRow};

/// What the tree has at each place of a tile, and what is wrong there.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) slots: Vec<Slot>,
    pub(super) damages: Vec<Damage>,
    /// Places where another record lies than the tree has.
    pub(super) displaced: Vec<Displaced>,
}

/// One place of a tile.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// The leaf hash in the tree; `None` if nothing tells it any more.
    pub(super) leaf: Option<Hash>,
    /// Whether the header that lies there is the one in the tree.
    pub(super) sound: bool,
}

/// A record that lies where the tree has another.
#[derive(Clone, Copy)]
pub(super) struct Displaced {
    pub(super) index: u64,
    pub(super) found: Hash,
    pub(super) expected: Hash,
}

/// Settles a full tile of level 0. `parent` is what the tile above says of it, if that is stored.
pub(super) fn settle_full(
    key: TileKey,
    records: &[Option<Examined>],
    stored: Option<&TileRow>,
    parent: Option<Hash>,
) -> Settled {
    let TileKey { level, index } = key;
    let mut settled = Settled::default();
    let Some(stored) = stored else {
        settled.damages.push(Damage::MissingTile { level, index });
        settle_by_headers(records, &mut settled);
        return settled;
    };
    let Some(tree) = hashes(stored, key) else {
        settled.damages.push(Damage::EditedTile { level, index });
        settle_by_headers(records, &mut settled);
        return settled;
    };
    let found: Vec<Hash> =
        records.iter().zip(&tree).map(|(record, in_tree)| leaf_of(record.as_ref(), *in_tree)).collect();
    let rows = root(&found);
    let root_of_tile = Hash::from(stored.root);
    // Where tile and records differ, the root beside the tile and the tile above say which of the two was changed.
    let tile_edited = rows != root(&tree) && (rows == root_of_tile || Some(rows) == parent);
    let root_edited = root_of_tile != rows && root_of_tile != root(&tree);
    if tile_edited {
        settled.damages.push(Damage::EditedTile { level, index });
    }
    if root_edited || tile_edited && rows != root_of_tile {
        settled.damages.push(Damage::EditedTileRoot { level, index });
    }
    for ((record, found), in_tree) in records.iter().zip(found).zip(tree) {
        let leaf = if tile_edited { found } else { in_tree };
        let sound = record.as_ref().is_some_and(|record| record.hashed == leaf);
        settled.slots.push(Slot { leaf: Some(leaf), sound });
        let Some(record) = record else { continue };
        let index = record.index;
        if sound && record.stored != leaf {
            settled.damages.push(Damage::EditedLeaf { index });
        } else if !sound && record.stored == leaf {
            settled.damages.push(Damage::EditedHeader { index });
        } else if !sound {
            settled.displaced.push(Displaced { index, found: record.hashed, expected: leaf });
        }
    }
    settled
}

/// The leaf that a record says it has: its hash, unless the tree knows only the one beside it.
fn leaf_of(record: Option<&Examined>, in_tree: Hash) -> Hash {
    match record {
        None => in_tree,
        Some(record) if record.stored == in_tree => in_tree,
        Some(record) => record.hashed,
    }
}

/// Settles records over which no tile is stored, from their headers.
fn settle_by_headers(records: &[Option<Examined>], settled: &mut Settled) {
    for record in records {
        let leaf = record.as_ref().map(|record| record.hashed);
        settled.slots.push(Slot { leaf, sound: leaf.is_some() });
        if let Some(record) = record.as_ref().filter(|record| record.stored != record.hashed) {
            settled.damages.push(Damage::EditedLeaf { index: record.index });
        }
    }
}

/// Settles the records after the last full tile against the head.
/// `displaced` are places of earlier tiles where other records lie.
pub(super) fn settle_last(
    records: &[Option<Examined>],
    before: &Frontier,
    head: &Head,
    displaced: &[Displaced],
) -> Settled {
    let mut settled = Settled::default();
    let by_header: Option<Vec<Hash>> = records.iter().map(|r| r.as_ref().map(|r| r.hashed)).collect();
    let by_column: Option<Vec<Hash>> = records.iter().map(|r| r.as_ref().map(|r| r.stored)).collect();
    let (Some(by_header), Some(by_column)) = (by_header, by_column) else {
        settle_by_headers(records, &mut settled);
        return settled;
    };
    let fits = |leaves: &[Hash]| grown(before, leaves).is_some_and(|tree| agrees(&tree, head));
    if !fits(&by_header) && by_header != by_column && fits(&by_column) {
        for record in records.iter().flatten() {
            let sound = record.hashed == record.stored;
            settled.slots.push(Slot { leaf: Some(record.stored), sound });
            if !sound {
                settled.damages.push(Damage::EditedHeader { index: record.index });
            }
        }
        return settled;
    }
    settle_by_headers(records, &mut settled);
    if fits(&by_header) {
        return settled;
    }
    let Some(in_tree) =
        exchanged(&by_header, displaced).filter(|leaves| fits(leaves)).or_else(|| swapped(before, &by_header, head))
    else {
        return settled;
    };
    for ((slot, record), (found, expected)) in settled.slots.iter_mut().zip(records).zip(by_header.iter().zip(in_tree))
    {
        if let Some(record) = record.as_ref().filter(|_| *found != expected) {
            *slot = Slot { leaf: Some(expected), sound: false };
            settled.displaced.push(Displaced { index: record.index, found: *found, expected });
        }
    }
    settled
}

/// The leaves, with those that belong to earlier places exchanged for the ones that lie there.
fn exchanged(leaves: &[Hash], displaced: &[Displaced]) -> Option<Vec<Hash>> {
    let lie_there: HashMap<Hash, Hash> = displaced.iter().map(|record| (record.expected, record.found)).collect();
    let exchanged: Vec<Hash> = leaves.iter().map(|leaf| lie_there.get(leaf).copied().unwrap_or(*leaf)).collect();
    (exchanged != leaves).then_some(exchanged)
}

/// Whether the head speaks of this tree in its root, or at least in its frontier.
fn agrees(tree: &Frontier, head: &Head) -> bool {
    tree.root() == head.root.into() || tree.nodes().iter().copied().eq(head.frontier.iter().copied().map(Hash::from))
}

/// The leaves after the exchange of the two that makes the tree that the head speaks of.
fn swapped(before: &Frontier, leaves: &[Hash], head: &Head) -> Option<Vec<Hash>> {
    let tree = grown(before, leaves)?;
    let (mut start, mut differing) = (0, Vec::new());
    for (width, (found, expected)) in widths(tree.size()).zip(tree.nodes().iter().zip(&head.frontier)) {
        let part = start..start + width;
        start += width;
        if *found != Hash::from(*expected) {
            let place = |index: u64| usize::try_from(index.checked_sub(before.size())?).ok();
            differing.push((place(part.start)?..place(part.end)?, Hash::from(*expected)));
        }
    }
    let (first, second) = match differing.as_slice() {
        [(part, _)] => (part.clone(), part.clone()),
        [(first, _), (second, _)] => (first.clone(), second.clone()),
        _ => return None,
    };
    let mut leaves = leaves.to_vec();
    for (i, j) in first.flat_map(|i| second.clone().map(move |j| (i, j))).filter(|(i, j)| i < j) {
        leaves.swap(i, j);
        let fits = |(part, expected): &(Range<usize>, Hash)| leaves.get(part.clone()).map(root) == Some(*expected);
        if differing.iter().all(fits) {
            return Some(leaves);
        }
        leaves.swap(i, j);
    }
    None
}

/// The sizes of the perfect subtrees of a tree, largest first.
fn widths(size: u64) -> impl Iterator<Item = u64> {
    (0..u64::BITS).rev().map(|bit| 1 << bit).filter(move |width| size & width != 0)
}

fn grown(before: &Frontier, leaves: &[Hash]) -> Option<Frontier> {
    let mut tree = before.clone();
    for leaf in leaves {
        tree.push(*leaf).ok()?;
    }
    Some(tree)
}

fn root(leaves: &[Hash]) -> Hash {
    grown(&Frontier::new(), leaves).map_or(Hash::EMPTY_ROOT, |tree| tree.root())
}

fn hashes(stored: &TileRow, key: TileKey) -> Option<Vec<Hash>> {
    let tile = FullTile::from_bytes(key.level, key.index, &stored.hashes).ok()?;
    Some(tile.hashes().to_vec())
}

/// What is wrong with a tile above level 0, which was computed from what lies below.
pub(super) fn compare(computed: &FullTile, stored: Option<&TileRow>) -> Option<Damage> {
    let (level, index) = (computed.id().level(), computed.id().index());
    match stored {
        None => Some(Damage::MissingTile { level, index }),
        Some(stored) if stored.hashes != computed.to_bytes() => Some(Damage::EditedTile { level, index }),
        Some(stored) if Hash::from(stored.root) != computed.root() => Some(Damage::EditedTileRoot { level, index }),
        Some(_) => None,
    }
}

/// What is wrong with the head over records that have this tree.
pub(super) fn judge_head(tree: &Frontier, head: &Head) -> Vec<Damage> {
    let size = tree.size();
    let stored: Vec<Hash> = head.frontier.iter().copied().map(Hash::from).collect();
    let (same_root, same_frontier) = (tree.root() == head.root.into(), tree.nodes() == stored.as_slice());
    let folded = Frontier::from_parts(size, stored.clone()).map(|frontier| frontier.root());
    match (same_root, same_frontier) {
        (true, true) => Vec::new(),
        (true, false) => vec![Damage::Frontier { size }],
        (false, true) => vec![Damage::Root { size }],
        (false, false) if folded == Ok(head.root.into()) => {
            let mut start = 0;
            let mut damages = Vec::new();
            for (width, (found, expected)) in widths(size).zip(tree.nodes().iter().zip(&stored)) {
                let records = start..start + width;
                start += width;
                if found != expected {
                    damages.push(Damage::UnknownRecords { records });
                }
            }
            damages
        }
        (false, false) => vec![Damage::Root { size }, Damage::Frontier { size }],
    }
}

/// Settles records that nothing is known to lie over.
pub(super) fn settle_unknown(records: &[Option<Examined>]) -> Settled {
    let mut settled = Settled::default();
    settle_by_headers(records, &mut settled);
    settled
}

/// One hash of a tile.
pub(super) fn slot(stored: &TileRow, number: u64) -> Option<Hash> {
    let start = usize::try_from(number).ok()?.checked_mul(32)?;
    Hash::from_slice(stored.hashes.get(start..start.checked_add(32)?)?).ok()
}
