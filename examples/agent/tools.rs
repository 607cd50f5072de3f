//! The tools: one that anybody may call, and one that checks a token itself before it moves money.

use jit_core::{AccessObserved, PrincipalId, Prose, SpiffeId, SystemName, Timestamp, code};
use jit_identity::{TokenError, TokenIssuer, Verified};
use jit_issuer::{ObservedUse, UseBinding};
use serde_json::{Value, json};

use crate::agent::{Call, Need};

/// Why a tool did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("{0:?} is needed")]
    Needs(Need),
    #[error("the token is not accepted: {0}")]
    Token(#[from] TokenError),
    #[error("the token is not for this")]
    NotForThis,
    #[error("there is no such tool, or not with these arguments")]
    Unknown,
}

/// What came of a call, and what the tool has to report about the access.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answer: Value,
    pub(crate) used: Option<ObservedUse>,
}

/// The tools, and whose tokens they believe.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The access broker, by the keys that it publishes. Nothing else of it is known here.
    pub(crate) broker: TokenIssuer,
    /// The workload that this connection belongs to.
    pub(crate) peer: SpiffeId,
}

impl Tools {
    pub(crate) fn call(&self, call: &Call, token: Option<&str>, now: Timestamp) -> Result<Done, ToolError> {
        match call.tool {
            "find_order" => Ok(Done { answer: json!({ "order": "42", "amount": "39.90" }), used: None }),
            "refund_order" => self.refund(&call.arguments, token, now),
            _ => Err(ToolError::Unknown),
        }
    }

    fn refund(&self, arguments: &Value, token: Option<&str>, now: Timestamp) -> Result<Done, ToolError> {
        let order = arguments["order"].as_str().ok_or(ToolError::Unknown)?;
        let resource = format!("payments:acme/orders/{order}");
        let Some(token) = token else {
            return Err(ToolError::Needs(Need { resource, action: "refund" }));
        };
        let verified = self.broker.access_token(token, now)?;
        if verified.content().subject != PrincipalId::Workload(self.peer.clone()) || !permits(&verified, &resource) {
            return Err(ToolError::NotForThis);
        }
        let credential =
            verified.facts().id.as_ref().and_then(|id| id.as_str().parse().ok()).ok_or(ToolError::NotForThis)?;
        let event = AccessObserved {
            system: SystemName::new("payments.example").map_err(|_| ToolError::Unknown)?,
            occurred_at: now,
            act: code!("refund"),
            detail: Prose::new(format!("refunded order {order}")).ok(),
            // It knows its caller by the token alone, and keeps no log with lines.
            by: None,
            line: None,
        };
        let used = ObservedUse { binding: UseBinding::Credential(credential), event };
        Ok(Done { answer: json!({ "refunded": order }), used: Some(used) })
    }
}

/// Whether the grant inside the token (RFC 9396) is for a refund on this resource or one that contains it.
fn permits<T>(token: &Verified<T>, resource: &str) -> bool {
    let claims: Value = serde_json::from_str(token.token().claims.as_str()).unwrap_or_default();
    let details = claims["authorization_details"].as_array();
    details.into_iter().flatten().any(|grant| {
        let granted = grant["resource"].as_str().unwrap_or("nothing");
        let inside = resource == granted || resource.strip_prefix(granted).is_some_and(|rest| rest.starts_with('/'));
        inside && grant["actions"].as_array().is_some_and(|actions| actions.iter().any(|action| action == "refund"))
    })
}
