//! What a token says (RFC 7519, RFC 7800, RFC 8417, RFC 8693, RFC 9396), all of it from the authorisation or from its case.

use data_encoding::BASE64URL_NOPAD;
use jit_core::{
    Action, AgentMode, Case, Code, Condition, CredentialDescriptor, CredentialId, Enforcement, ExternalDigest,
    ExternalId, GrantId, HolderKey, Issuer, LeafHash, LogOrigin, Principal, PrincipalId, RecordId, Scope, Window,
    canonical::Value,
};
use serde::Serialize;

use super::{
    profile::{Profile, confirmation},
    status::Status,
};
use crate::authorization::MintAuthorization;

#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a ExternalId,
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: CredentialId,
    txn: GrantId,
    authorization_details: [Grant<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
struct Demand<'a> {
    id: &'a Code,
    value: &'a Value,
}

/// Where the reason for the token is found.
#[derive(Debug, Serialize)]
struct Evidence<'a> {
    alg: &'static str,
    digest: LeafHash,
    log: &'a LogOrigin,
}

/// RFC 8693 section 4.1.
#[derive(Debug, Serialize)]
struct Actor {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor>>,
}

/// What the presenter has to prove (RFC 7800 section 3.1).
#[derive(Debug, Serialize)]
pub(super) enum Confirmation {
    /// RFC 9449 section 6.1.
    #[serde(rename = "jkt")]
    Jkt(String),
    /// RFC 8705 section 3.1.
    #[serde(rename = "x5t#S256")]
    Certificate(String),
}

impl Confirmation {
    pub(super) fn certificate(digest: &ExternalDigest) -> Self {
        Self::Certificate(BASE64URL_NOPAD.encode(digest.as_bytes()))
    }
}

/// What the evidence says of one credential.
pub(super) struct Facts<'a> {
    credential: CredentialId,
    grant: GrantId,
    decision: RecordId,
    log: &'a LogOrigin,
    evidence: LeafHash,
    subject: &'a PrincipalId,
    scope: &'a Scope,
    conditions: &'a [Condition],
    requester: &'a Principal,
    holder_key: Option<&'a HolderKey>,
}

impl<'a> Facts<'a> {
    pub(super) fn authorized(authorization: &'a MintAuthorization) -> Self {
        Self {
            credential: authorization.credential(),
            grant: authorization.grant(),
            decision: authorization.decision(),
            log: authorization.log(),
            evidence: authorization.evidence(),
            subject: authorization.subject(),
            scope: authorization.scope(),
            conditions: authorization.conditions(),
            requester: authorization.requester(),
            holder_key: authorization.holder_key(),
        }
    }

    /// Of a credential that its case knows to exist.
    pub(super) fn issued(case: &'a Case, descriptor: &'a CredentialDescriptor) -> Option<Self> {
        let known = case.credentials().get(&descriptor.id)?;
        let decision = case.decisions().iter().find(|d| Some(d.leaf) == known.decision)?;
        let grant = case.grant()?;
        Some(Self {
            credential: descriptor.id,
            grant: grant.id,
            decision: decision.id,
            log: case.log(),
            evidence: known.intended_leaf,
            subject: &known.intended.subject,
            scope: &known.intended.scope,
            conditions: &grant.approved.conditions,
            requester: &case.request()?.submitted.requester,
            holder_key: known.intended.holder_key.as_ref(),
        })
    }
}

impl<'a> Claims<'a> {
    /// Errors with the reason why no token of this profile can say this. The window counts whole seconds.
    pub(super) fn new(
        facts: &Facts<'a>,
        (iss, aud, profile): (&'a Issuer, &'a ExternalId, &Profile),
        window: Window,
        status: Option<Status>,
    ) -> Result<Self, Code> {
        let start = window.start().unix_seconds();
        Ok(Self {
            iss,
            aud,
            sub: profile.subject(facts.subject)?,
            client_id: profile.client(facts.requester),
            scope: profile.scope(facts.scope),
            iat: start,
            nbf: start,
            exp: window.end().unix_seconds(),
            jti: facts.credential,
            txn: facts.grant,
            authorization_details: [Grant {
                r#type: format!("{iss}/grant/v1"),
                grant_id: facts.grant,
                decision_id: facts.decision,
                actions: facts.scope.actions().iter().collect(),
                resource: facts.scope.resource().to_string(),
                conditions: facts.conditions.iter().filter_map(demand).collect(),
                evidence: Evidence { alg: "sha-256", digest: facts.evidence, log: facts.log },
            }],
            act: actors(facts.requester),
            cnf: confirmation(facts.holder_key)?,
            status,
        })
    }

    /// How the token is presented (RFC 6750, RFC 9449 section 5).
    pub(super) fn token_type(&self) -> &'static str {
        if matches!(self.cnf, Some(Confirmation::Jkt(_))) { "DPoP" } else { "Bearer" }
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
