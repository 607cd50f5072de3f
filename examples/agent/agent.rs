//! The agent: a loop that plans, calls tools, and asks for access when a tool says that it needs it. A script stands where a model
//! would be, so that every run is the same.

use serde_json::{Value, json};

/// A call that the agent wants to make.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
}

/// What the agent does next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// It calls a tool.
    Call(Call),
    /// It asks for access, for a call that was turned down.
    AskFor { access: Need, call: Call },
    /// It is done.
    Answer(String),
}

/// What a tool says is needed to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) resource: String,
    pub(crate) action: &'static str,
}

/// What the agent sees.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// A tool answered.
    Answered(Value),
    /// A tool asks for access.
    Needs(Need, Call),
    /// A tool refused, whatever was presented.
    Refused(String),
    /// The agent was given access.
    Granted,
}

/// What somebody told the agent to do.
pub(crate) const PROMPT: &str = "Customer of CASE-7731 got a broken kettle. Please refund order 42.";

/// Decides the next step from everything seen so far, as a model would.
pub(crate) fn next(seen: &[Seen]) -> Plan {
    let refund = |order: &str, amount: &Value| {
        Plan::Call(Call { tool: "refund_order", arguments: json!({ "order": order, "amount": amount }) })
    };
    match seen {
        [] => Plan::Call(Call { tool: "find_order", arguments: json!({ "case": "CASE-7731" }) }),
        [Seen::Answered(order)] => refund("42", &order["amount"]),
        [.., Seen::Needs(access, call)] => Plan::AskFor { access: access.clone(), call: call.clone() },
        [Seen::Answered(order), .., Seen::Granted] => refund("42", &order["amount"]),
        // A model that was talked into more than it was asked to do.
        [Seen::Answered(order), .., Seen::Answered(_)] => refund("43", &order["amount"]),
        [.., Seen::Refused(why)] => Plan::Answer(format!("Order 42 is refunded. Order 43 is not: {why}")),
        _ => Plan::Answer("I could not do it.".to_owned()),
    }
}
