//! Random trees of delegated grants: whatever is asked, narrowed and ended, a child stays within its parent and ends with it
//! (INV-15), and whoever acts in it is accountable (INV-16). What was left undone, or said otherwise, is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use std::{cell::RefCell, collections::BTreeSet};

use jit_core::*;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngAlgorithm, TestRunner},
};
use world::{World, agent, at, decision, person, retain, scope, word};

const ACTIONS: [&str; 4] = ["read", "write", "admin", "delete"];
/// Longer than any tree lives.
const LONG: u64 = 10_000;

/// One node of a tree, as it is tried.
#[derive(Debug, Clone)]
struct Node {
    /// Which of the grants that stand is its parent; the latest if none is picked.
    parent: Option<prop::sample::Index>,
    /// By how many seconds its window begins later and ends earlier than its parent's.
    narrower: (u64, u64),
    /// Which actions it keeps.
    actions: u8,
    /// Whether it is on a part of its parent's resource.
    deeper: bool,
    /// In which way it asks for more than it may, if it does.
    beyond: Option<u8>,
}

/// What happens after the tree has grown.
#[derive(Debug, Clone)]
enum Then {
    End(prop::sample::Index),
    Wait(u64),
    Renew(prop::sample::Index),
}

fn node() -> impl Strategy<Value = Node> {
    let beyond = prop_oneof![3 => Just(None), 1 => (0u8..7).prop_map(Some)];
    let actions = prop_oneof![Just(15u8), 1u8..16];
    (any::<Option<prop::sample::Index>>(), (0u64..150, 0u64..150), actions, any::<bool>(), beyond)
        .prop_map(|(parent, narrower, actions, deeper, beyond)| Node { parent, narrower, actions, deeper, beyond })
}

fn then() -> impl Strategy<Value = Then> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => index().prop_map(Then::End),
        2 => (0u64..900).prop_map(Then::Wait),
        1 => index().prop_map(Then::Renew),
    ]
}

/// A world with a tree in it.
struct Tree {
    world: World,
    /// The cases that were submitted, with the place of their parent in this list.
    grown: Vec<(usize, Option<usize>)>,
    reached: BTreeSet<String>,
}

impl Tree {
    fn planted() -> Self {
        let mut tree = Self { world: World::new(), grown: Vec::new(), reached: BTreeSet::new() };
        let request = Request::builder(
            person("alice"),
            scope("database:prod", &ACTIONS),
            world::window(0, 3600),
            Justification::new("INC-7").unwrap(),
            retain(),
        );
        tree.submit(request.build().unwrap(), None);
        tree
    }

    fn submit(&mut self, request: Request, parent: Option<usize>) {
        let case = self.world.open_case();
        self.world.act(case, &Command::Submit(request)).unwrap();
        self.world.act(case, &Command::Evaluate(decision(Outcome::Permit, []))).unwrap();
        self.grown.push((case, parent));
        self.issue(self.grown.len() - 1).unwrap();
    }

    /// Mints in a case, knowing of its parent what a broker knows.
    fn issue(&mut self, place: usize) -> Result<(), Refusal> {
        let (case, parent) = self.grown[place];
        let id = CredentialId::v8(*self.world.cases[case].id().as_bytes());
        let mut intent = self.world.intent(case, id, decision(Outcome::Permit, []));
        intent.capabilities = world::capabilities(false);
        intent.parent = match parent.map(|parent| &self.world.cases[self.grown[parent].0]) {
            None => ParentState::None,
            Some(above) if above.is_active(self.world.now()) => ParentState::Active,
            Some(_) => ParentState::Gone,
        };
        self.world.act(case, &Command::Intend(intent))?;
        let descriptor = self.world.descriptor(case, id);
        self.world.act(case, &Command::Issued { credential: id, descriptor })
    }

    /// Tries to grow a node. One that asks for more than it may is refused for that reason, and grows nothing.
    fn grow(&mut self, node: &Node) {
        let place = node.parent.map_or(self.grown.len() - 1, |parent| parent.index(self.grown.len()));
        let above = self.world.cases[self.grown[place].0].clone();
        let Some(parent) = self.world.parent(self.grown[place].0) else { return };
        if !above.is_active(self.world.now()) {
            return;
        }
        let inside = (parent.window.start().as_micros() - world::START).unsigned_abs() / 1_000_000;
        let outside = (parent.window.end().as_micros() - world::START).unsigned_abs() / 1_000_000;
        let (mut from, mut to) =
            (inside.max(self.seconds()) + node.narrower.0, outside.saturating_sub(node.narrower.1));
        let kept: Vec<&str> = ACTIONS
            .into_iter()
            .enumerate()
            .filter(|(i, _)| node.actions >> i & 1 == 1)
            .map(|(_, action)| action)
            .collect();
        let mut kept: Vec<&str> =
            kept.into_iter().filter(|a| parent.scope.actions().iter().any(|p| p.as_str() == *a)).collect();
        let mut resource = parent.scope.resource().to_string();
        if node.deeper {
            resource.push_str("/part");
        }
        let mut claimed = parent.clone();
        let mut expected = None;
        let beyond_parent = RequestError::BeyondParent { parent: parent.grant };
        match node.beyond {
            Some(0) => (to, expected) = (outside + 1, Some(beyond_parent)),
            Some(1) if inside > 0 => (from, to, expected) = (inside - 1, outside, Some(beyond_parent)),
            Some(2) => {
                kept.push("drop");
                expected = Some(beyond_parent);
            }
            Some(3) => {
                "database:prodigal".clone_into(&mut resource);
                expected = Some(beyond_parent);
            }
            Some(4) => {
                claimed.path.push(parent.grant);
                expected = Some(RequestError::Ancestry);
            }
            Some(5) => {
                claimed.path = (0..=u8::try_from(MAX_DEPTH).unwrap()).map(|n| GrantId::v8([n; 16])).collect();
                expected = Some(RequestError::Ancestry);
            }
            Some(6) => {
                claimed.holders = (0..=MAX_HOLDERS).map(|n| person(&format!("h-{n}")).id()).collect();
                expected = Some(RequestError::TooManyHolders);
            }
            _ => {}
        }
        if from >= to || kept.is_empty() {
            return;
        }
        let deepest = parent.depth() > MAX_DEPTH;
        let name = format!("agent-{}", self.grown.len());
        let principal = above.request().unwrap().submitted.requester.id();
        let requester = agent(&name, AgentMode::OnBehalfOf(Delegation::new(principal, Vec::new()).unwrap()));
        let why = Justification::new("INC-7").unwrap();
        let request = Request::builder(requester, scope(&resource, &kept), world::window(from, to), why, retain());
        match (request.parent(claimed).build(), expected) {
            (Ok(request), None) => {
                self.world.clock.set(at(from));
                if self.world.cases[self.grown[place].0].is_active(self.world.now()) {
                    self.submit(request, Some(place));
                }
            }
            (Err(RequestError::Ancestry), _) if deepest => drop(self.reached.insert("refused as too deep".to_owned())),
            (answer, expected) => {
                assert_eq!(answer.map(drop).unwrap_err(), expected.unwrap());
                self.reached.insert(format!("refused beyond {}", node.beyond.unwrap()));
            }
        }
    }

    fn seconds(&self) -> u64 {
        (self.world.now().as_micros() - world::START).unsigned_abs().div_ceil(1_000_000)
    }

    fn end_leaf(&self, place: usize) -> Option<LeafHash> {
        self.world.cases[self.grown[place].0].grant()?.end.as_ref().map(|end| end.leaf)
    }

    /// Ends what hangs below ended grants, as a broker does, but for one branch that is forgotten.
    fn cascade(&mut self, forgotten: Option<usize>) {
        // A parent stands before its children.
        for place in 0..self.grown.len() {
            let (case, parent) = self.grown[place];
            let Some(leaf) = parent.filter(|_| Some(place) != forgotten).and_then(|p| self.end_leaf(p)) else {
                continue;
            };
            if self.end_leaf(place).is_none() {
                let by = EndBy::Parent(leaf);
                self.world.act(case, &Command::End { by, cause: word("parent_ended"), reason: None }).unwrap();
            }
        }
    }

    fn live(&mut self, then: &Then) {
        match then {
            Then::End(place) => {
                let place = place.index(self.grown.len());
                if self.end_leaf(place).is_none() {
                    let by = EndBy::Other(person("zoe").id());
                    let case = self.grown[place].0;
                    self.world.act(case, &Command::End { by, cause: word("suspicious"), reason: None }).unwrap();
                    self.cascade(None);
                }
            }
            Then::Wait(seconds) => {
                self.world.advance(*seconds);
                self.expire();
            }
            Then::Renew(place) => {
                // Whoever has a credential asks for another one: never below a grant that has ended.
                let place = place.index(self.grown.len());
                let gone = self.grown[place].1.is_some_and(|parent| self.end_leaf(parent).is_some());
                let answer = self.issue(place);
                assert!(!gone || answer.is_err(), "issued below a grant that has ended");
                if gone {
                    self.reached.insert("not issued below an end".to_owned());
                }
            }
        }
    }

    /// What is due is done, the end of a parent before that of its children.
    fn expire(&mut self) {
        for place in 0..self.grown.len() {
            let case = self.grown[place].0;
            while let Some(due) = self.world.cases[case].due_command(self.world.now()) {
                self.world.act(case, &due).unwrap();
            }
        }
        self.cascade(None);
    }

    fn ancestors(&self, place: usize) -> Vec<usize> {
        std::iter::successors(self.grown[place].1, |place| self.grown[*place].1).collect()
    }

    /// What INV-15 says, read from the cases and not from `check`.
    fn assert_narrowed_and_ended(&mut self) {
        for (place, (case, parent)) in self.grown.iter().enumerate() {
            let submitted = &self.world.cases[*case].request().unwrap().submitted;
            let above = self.ancestors(place);
            assert_eq!(submitted.parent.as_ref().map_or(0, ParentGrant::depth), above.len());
            if above.len() == 6 {
                self.reached.insert("a tree six deep".to_owned());
            }
            let Some(parent) = parent else { continue };
            let named = submitted.parent.as_ref().unwrap();
            let mut path: Vec<GrantId> =
                above.iter().rev().map(|place| self.world.cases[self.grown[*place].0].grant().unwrap().id).collect();
            assert_eq!(path.pop(), Some(named.grant));
            assert_eq!(path, named.path);
            for ancestor in &above {
                let ancestor = &self.world.cases[self.grown[*ancestor].0];
                let allowed = &ancestor.grant().unwrap().approved;
                assert!(submitted.scope.is_within(&allowed.scope) && submitted.requested.is_within(&allowed.approved));
                let holders = self.world.cases[*case].barred();
                assert!(holders.contains(&ancestor.request().unwrap().submitted.requester.id()));
            }
            if let Some(leaf) = self.end_leaf(*parent) {
                let end = self.world.cases[*case].grant().unwrap().end.as_ref().unwrap();
                let record = self.world.records.iter().find(|r| r.leaf() == end.leaf).unwrap();
                if end.kind == Kind::GrantRevoked && end.ending.actor.is_none() {
                    assert_eq!(record.header().refs.cause, Some(leaf));
                    self.reached.insert("ended with its parent".to_owned());
                } else if end.kind == Kind::GrantExpired {
                    self.reached.insert("expired".to_owned());
                }
            }
        }
    }
}

/// What the trees must have come to, or they prove little.
const REACHED: [&str; 11] = [
    "a tree six deep",
    "ended with its parent",
    "expired",
    "not issued below an end",
    "refused beyond 0",
    "refused beyond 1",
    "refused beyond 2",
    "refused beyond 3",
    "refused beyond 4",
    "refused beyond 5",
    "refused beyond 6",
];

fn runner(cases: u32) -> TestRunner {
    let rng_algorithm = RngAlgorithm::XorShift;
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, rng_algorithm, ..ProptestConfig::default() })
}

#[test]
fn whatever_grows_stays_within_its_parent_and_ends_with_it() {
    let seen = RefCell::new(BTreeSet::new());
    let result = runner(48).run(&(vec(node(), 1..14), vec(then(), 0..8)), |(nodes, lives)| {
        let mut tree = Tree::planted();
        for node in &nodes {
            tree.grow(node);
        }
        for then in &lives {
            tree.live(then);
        }
        tree.world.advance(LONG);
        tree.expire();
        tree.assert_narrowed_and_ended();
        tree.world.advance(LONG);
        prop_assert_eq!(tree.world.findings(tree.world.now()), vec![]);
        seen.borrow_mut().extend(tree.reached);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let missing: Vec<_> = REACHED.iter().filter(|what| !seen.borrow().contains(**what)).collect();
    assert!(missing.is_empty(), "the trees never came to {missing:?}");
}

#[test]
fn a_branch_that_is_forgotten_when_its_parent_ends_is_found() {
    let result = runner(32).run(&(vec(node(), 6..14), any::<prop::sample::Index>()), |(nodes, which)| {
        let mut tree = Tree::planted();
        for node in &nodes {
            tree.grow(node);
        }
        let latest = tree.world.now().saturating_add(SWEEP_ALLOWANCE).saturating_add(std::time::Duration::from_secs(1));
        // Past its own window it would be over anyway.
        let children: Vec<usize> = (1..tree.grown.len())
            .filter(|place| tree.world.cases[tree.grown[*place].0].grant().unwrap().approved.approved.end() > latest)
            .collect();
        prop_assume!(!children.is_empty());
        let forgotten = children[which.index(children.len())];
        let parent = tree.grown[tree.grown[forgotten].1.unwrap()].0;
        let by = EndBy::Other(person("zoe").id());
        tree.world.act(parent, &Command::End { by, cause: word("suspicious"), reason: None }).unwrap();
        tree.cascade(Some(forgotten));
        let violated = |f: &Finding| f.is_violated() && f.invariant == InvariantId::Inv15;
        let findings = tree.world.findings(latest);
        prop_assert!(findings.iter().any(violated), "{:#?}", findings);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_line_is_as_deep_as_it_may_be_and_no_deeper() {
    let mut tree = Tree::planted();
    let next = Node { parent: None, narrower: (1, 1), actions: 15, deeper: true, beyond: None };
    for _ in 0..=MAX_DEPTH {
        assert!(tree.reached.is_empty());
        tree.grow(&next);
    }
    assert_eq!(tree.grown.len(), 1 + MAX_DEPTH);
    assert!(tree.reached.contains("refused as too deep"));
    tree.assert_narrowed_and_ended();
}
