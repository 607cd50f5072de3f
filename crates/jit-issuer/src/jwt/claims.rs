//! What a token says (RFC 7519, RFC 8417, RFC 8693, RFC 9396), all of it from the authorisation.

use jit_core::{
    Action, AgentMode, Code, Condition, CredentialId, Enforcement, ExternalId, GrantId, Issuer, LeafHash, LogOrigin,
    Principal, PrincipalId, RecordId, Window, canonical::Value,
};
use serde::Serialize;

use crate::authorization::MintAuthorization;

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a ExternalId,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: CredentialId,
    txn: GrantId,
    authorization_details: [Grant<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor>>,
}

#[derive(Serialize)]
struct Grant<'a> {
    r#type: String,
    grant_id: GrantId,
    decision_id: RecordId,
    actions: Vec<&'a Action>,
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Demand<'a>>,
    evidence: Evidence<'a>,
}

/// A condition that the target has to enforce.
#[derive(Serialize)]
struct Demand<'a> {
    id: &'a Code,
    value: &'a Value,
}

/// Where the reason for the token is found.
#[derive(Serialize)]
struct Evidence<'a> {
    alg: &'static str,
    digest: LeafHash,
    log: &'a LogOrigin,
}

/// RFC 8693 section 4.1.
#[derive(Serialize)]
struct Actor {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor>>,
}

impl<'a> Claims<'a> {
    /// `None` if the subject cannot hold a token. The window counts whole seconds.
    pub(super) fn new(
        authorization: &'a MintAuthorization,
        iss: &'a Issuer,
        aud: &'a ExternalId,
        window: Window,
    ) -> Option<Self> {
        let scope = authorization.scope();
        let start = window.start().unix_seconds();
        Some(Self {
            iss,
            aud,
            sub: holder(authorization.subject())?,
            iat: start,
            nbf: start,
            exp: window.end().unix_seconds(),
            jti: authorization.credential(),
            txn: authorization.grant(),
            authorization_details: [Grant {
                r#type: format!("{iss}/grant/v1"),
                grant_id: authorization.grant(),
                decision_id: authorization.decision(),
                actions: scope.actions().iter().collect(),
                resource: scope.resource().to_string(),
                conditions: authorization.conditions().iter().filter_map(demand).collect(),
                evidence: Evidence { alg: "sha-256", digest: authorization.evidence(), log: authorization.log() },
            }],
            act: actors(authorization.requester()),
        })
    }
}

/// The two forms never collide: `issuer|subject` has a bar, a SPIFFE id has none.
fn holder(subject: &PrincipalId) -> Option<String> {
    match subject {
        PrincipalId::Identity(_) | PrincipalId::Workload(_) => Some(subject.to_string()),
        _ => None,
    }
}

fn demand(condition: &Condition) -> Option<Demand<'_>> {
    matches!(condition.enforcement, Enforcement::Issuer | Enforcement::Target)
        .then_some(Demand { id: &condition.id, value: &condition.value })
}

/// The agent outermost, the principal it acts for innermost.
fn actors(requester: &Principal) -> Option<Box<Actor>> {
    let Principal::Agent(agent) = requester else { return None };
    let AgentMode::OnBehalfOf(_) = agent.mode() else { return None };
    let earlier = agent.mode().principals().fold(None, |act, principal| actor(principal.to_string(), act));
    actor(agent.identity().to_string(), earlier)
}

fn actor(sub: String, act: Option<Box<Actor>>) -> Option<Box<Actor>> {
    Some(Box::new(Actor { sub, act }))
}
