//! What the suite asks: requests by a person, and what was gathered for them.

use std::{collections::BTreeSet, time::Duration};

use jit_core::{
    Action, EvaluationPurpose, Identity, Justification, Principal, Request, RetentionClass, Scope, Timestamp, Window,
};
use jit_policy::{Attributes, CanonicalInput, Entity, EntityUid, Gathered};

/// A request, made into an input by [`Asking::input`].
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) who: &'static str,
    pub(super) resource: &'static str,
    pub(super) actions: &'static [&'static str],
    pub(super) now: &'static str,
    pub(super) gathered: Gathered,
}

impl Asking {
    /// Somebody on call asks for these actions, on an ordinary day in 2026.
    pub(super) fn of(resource: &'static str, actions: &'static [&'static str]) -> Self {
        let entities = vec![entity("human", "idp|alice", &["oncall"]), entity("group", "oncall", &[])];
        let gathered = Gathered { entities, ..Gathered::default() };
        Self { who: "alice", resource, actions, now: "2026-11-23T09:00:00.000000Z", gathered }
    }

    pub(super) fn by(self, who: &'static str) -> Self {
        Self { who, ..self }
    }

    pub(super) fn at(self, now: &'static str) -> Self {
        Self { now, ..self }
    }

    pub(super) fn with(mut self, entities: impl IntoIterator<Item = Entity>) -> Self {
        self.gathered.entities.extend(entities);
        self
    }

    pub(super) fn input(&self) -> CanonicalInput {
        let now: Timestamp = self.now.parse().expect("a time");
        let window = Window::new(now, now.saturating_add(Duration::from_secs(3600))).expect("a window");
        let actions = self.actions.iter().map(|action| Action::new(*action).expect("an action"));
        let request = Request::builder(
            Principal::human(Identity::new("idp", self.who).expect("a person")),
            Scope::new(self.resource.parse().expect("a resource"), actions).expect("a scope"),
            window,
            Justification::new("restore order 42").expect("a justification"),
            RetentionClass::new("access").expect("a class"),
        );
        let request: Request = request.build().expect("a request");
        CanonicalInput::of_request(&request, EvaluationPurpose::Request, now, self.gathered.clone()).expect("an input")
    }
}

/// An entity in these groups. A person has the attributes that brokers give it.
pub(super) fn entity(kind: &str, id: &str, parents: &[&str]) -> Entity {
    let parents = parents.iter().map(|parent| EntityUid::new("group", *parent).expect("a group"));
    let attrs = match id.split_once('|') {
        Some((issuer, subject)) if kind == "human" => {
            let texts = [("issuer", issuer.to_owned()), ("subject", subject.to_owned())];
            Attributes::of_texts(texts).expect("attributes")
        }
        _ => Attributes::default(),
    };
    Entity { uid: EntityUid::new(kind, id).expect("an entity"), attrs, parents: parents.collect::<BTreeSet<_>>() }
}

/// What every comparison of decisions asks.
pub(super) fn everything() -> Vec<Asking> {
    vec![
        Asking::of("db:prod/orders", &["read"]),
        Asking::of("db:prod", &["write"]),
        Asking::of("db:prod/orders", &["read", "write"]),
        Asking::of("db:prod/payroll/march", &["read", "write"]),
        Asking::of("db:test", &["read"]),
        Asking::of("db:test", &["admin"]),
        Asking::of("db:prod/payroll", &["admin"]),
        Asking::of("db:test", &["admin"]).at("2031-01-01T00:00:00.000000Z"),
        Asking::of("db:prod", &["read"]).by("mallory"),
    ]
}
