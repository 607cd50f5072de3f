//! Requests, directories and policies for the tests of this crate.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries, which may panic"
)]

#[cfg(feature = "rego")]
pub mod rego;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jit_core::*;
use jit_policy::*;

pub fn now() -> Timestamp {
    "2026-11-23T09:00:00.000000Z".parse().unwrap()
}

pub fn request(resource: &str, actions: &[&str]) -> Request {
    let window = Window::new(now(), now().saturating_add(Duration::from_secs(3600))).unwrap();
    let actions = actions.iter().map(|a| Action::new(*a).unwrap());
    Request::builder(
        Principal::human(Identity::new("idp", "alice").unwrap()),
        Scope::new(resource.parse().unwrap(), actions).unwrap(),
        window,
        Justification::new("restore order 42").unwrap(),
        RetentionClass::new("access").unwrap(),
    )
    .build()
    .unwrap()
}

pub fn entity(kind: &str, id: &str, parents: &[&str]) -> Entity {
    Entity {
        uid: EntityUid::new(kind, id).unwrap(),
        attrs: Attributes::default(),
        parents: parents.iter().map(|p| EntityUid::new("group", *p).unwrap()).collect(),
    }
}

pub fn gathered() -> Gathered {
    let entities = vec![entity("human", "idp|alice", &["oncall"]), entity("group", "oncall", &[])];
    Gathered { entities, ..Gathered::default() }
}

pub fn input(resource: &str, actions: &[&str]) -> CanonicalInput {
    CanonicalInput::of_request(&request(resource, actions), EvaluationPurpose::Request, now(), gathered()).unwrap()
}

pub fn engine(version: &str) -> Engine {
    Engine {
        name: code!("fixed"),
        version: Version::new(version).unwrap(),
        language: Version::new("1").unwrap(),
        adapter: Version::new("1").unwrap(),
    }
}

pub fn rule(id: &str) -> RuleId {
    RuleId::new(id).unwrap()
}

pub fn permit(id: &str) -> DeterminingRule {
    DeterminingRule::new(rule(id), Effect::Permit)
}

/// A third party's snapshot that says whatever it is told to, right or wrong.
pub struct Fixed {
    pub document: SnapshotDocument,
    pub engine: Engine,
    pub says: RawEvaluation,
}

impl PolicySnapshot for Fixed {
    fn document(&self) -> &SnapshotDocument {
        &self.document
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn evaluate(&self, _: &CanonicalInput) -> RawEvaluation {
        self.says.clone()
    }
}

pub fn bundle() -> PolicyBundle {
    let target = Target { engine: code!("fixed"), language: Version::new("1").unwrap(), entrypoint: code!("decide") };
    PolicyBundle::new(target, None, [(FilePath::new("rules").unwrap(), b"a b c".to_vec())]).unwrap()
}

pub fn document() -> SnapshotDocument {
    let rules: BTreeSet<RuleId> = ["a", "b", "c"].map(rule).into();
    SnapshotDocument::new(bundle(), &rules).unwrap()
}

pub fn fixed(says: RawEvaluation) -> Evaluator {
    Evaluator::new(Arc::new(Fixed { document: document(), engine: engine("1"), says }))
}

/// An engine whose snapshots say what it is told to.
pub struct FixedEngine {
    pub engine: Engine,
    pub says: RawEvaluation,
}

impl PolicyEngine for FixedEngine {
    fn descriptor(&self) -> &Engine {
        &self.engine
    }

    fn load(&self, bundle: &PolicyBundle) -> Result<Arc<dyn PolicySnapshot>, LoadError> {
        let rules: BTreeSet<RuleId> = ["a", "b", "c"].map(rule).into();
        let document = SnapshotDocument::new(bundle.clone(), &rules)?;
        Ok(Arc::new(Fixed { document, engine: self.engine.clone(), says: self.says.clone() }))
    }
}
