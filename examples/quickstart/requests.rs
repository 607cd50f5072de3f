//! The file of access requests, each with what people do about it and how it should end.

use jit_core::{
    BreakGlass, Code, ExternalRef, GroupName, IdempotencyKey, Identity, Kind, Line, Principal, Prose, Request, Scope,
    Severity, Timestamp, Window,
};

use crate::{
    members::{InputError, Members},
    principals::{actor, identity, requester},
};

/// Everything that is to happen.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Who puts the policy in force.
    pub(crate) policy_owner: Identity,
    /// Who takes the evidence out.
    pub(crate) auditor: Identity,
    /// The requests, in the order of the file.
    pub(crate) requests: Vec<PlannedRequest>,
}

/// One request, what is done about it, and how it should end.
#[derive(Debug)]
pub(crate) struct PlannedRequest {
    /// Its name in the account.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) about: Line,
    /// When it is made.
    pub(crate) at: Timestamp,
    /// The request.
    pub(crate) request: Request,
    /// What is done about it.
    pub(crate) acts: Vec<PlannedAct>,
    /// The kind of record with which it should end.
    pub(crate) ends_with: Kind,
    /// The obligation that should stay open.
    pub(crate) leaves_open: Option<Code>,
}

/// What somebody does about a request.
#[derive(Debug)]
pub(crate) struct PlannedAct {
    pub(crate) at: Timestamp,
    pub(crate) by: Principal,
    pub(crate) deed: Deed,
    /// The code with which it should be refused.
    pub(crate) refused: Option<Code>,
}

/// What is done.
#[derive(Debug)]
pub(crate) enum Deed {
    Approve { group: GroupName, comment: Option<Prose> },
    Deny { group: GroupName, reason: Option<Prose> },
    Withdraw { reason: Option<Prose> },
    Issue { show: bool },
    Terminate { reason: Option<Prose> },
    Revoke { cause: Code, reason: Option<Prose> },
    Close { task: Code, finding: Code, text: Option<Prose> },
}

impl PlannedRequest {
    /// The key under which act `n` of this request can be repeated safely; another one in every run.
    pub(crate) fn key(&self, n: usize) -> Result<IdempotencyKey, jit_core::TextError> {
        IdempotencyKey::new(format!("quickstart/{}/{}/{n}", self.at, self.name))
    }
}

/// Reads the file; offsets in it count from `start`.
pub(crate) fn read(place: &str, bytes: &[u8], start: Timestamp) -> Result<Scenario, InputError> {
    let mut from = Members::of_file(place, bytes)?;
    let scenario = Scenario {
        policy_owner: from.parsed("policy_owner", identity)?,
        auditor: from.parsed("auditor", identity)?,
        requests: from.objects("requests")?.into_iter().map(|one| planned(one, start)).collect::<Result<_, _>>()?,
    };
    from.finish()?;
    Ok(scenario)
}

fn planned(mut from: Members, start: Timestamp) -> Result<PlannedRequest, InputError> {
    let name = from.text::<Code>("name")?.to_string();
    let mut from = from.called(&name);
    let at = start.saturating_add(from.duration("at_s")?);
    let planned = PlannedRequest {
        about: from.text("about")?,
        request: read_request(from.object("request")?, at)?,
        acts: from.objects("acts")?.into_iter().map(|one| read_act(one, at)).collect::<Result<_, _>>()?,
        ends_with: from.parsed("ends_with", str::parse)?,
        leaves_open: from.optional_text("leaves_open")?,
        name,
        at,
    };
    from.finish()?;
    Ok(planned)
}

fn read_request(mut from: Members, at: Timestamp) -> Result<Request, InputError> {
    let requester = requester(from.object("requester")?, at)?;
    let resource = from.text("resource")?;
    let actions = from.texts("actions")?;
    let scope = Scope::new(resource, actions).map_err(|error| from.refused("actions", &error))?;
    let end = at.saturating_add(from.duration("for_s")?);
    let window = Window::new(at, end).map_err(|error| from.refused("for_s", &error))?;
    let retain = from.text("retain")?;
    let justification = from.optional_text("justification")?;
    let break_glass = from.optional_object("break_glass")?.map(read_break_glass).transpose()?;
    let mut builder = match (break_glass, justification) {
        (Some(emergency), Some(given)) => {
            Request::break_glass(requester, scope, window, emergency, retain).justification(given)
        }
        (Some(emergency), None) => Request::break_glass(requester, scope, window, emergency, retain),
        (None, Some(given)) => Request::builder(requester, scope, window, given, retain),
        (None, None) => return Err(from.shape("justification", "there, as this is no emergency")),
    };
    for reference in from.objects("external")? {
        builder = builder.external(read_reference(reference)?);
    }
    let request = builder.build().map_err(|error| from.refused("requester", &error))?;
    from.finish()?;
    Ok(request)
}

fn read_break_glass(mut from: Members) -> Result<BreakGlass, InputError> {
    let severity = match from.text::<Code>("severity")?.as_str() {
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => return Err(from.shape("severity", "`high` or `critical`")),
    };
    let emergency = BreakGlass {
        severity,
        emergency: from.text("emergency")?,
        review_within: from.seconds("review_within_s")?,
        justify_within: from.seconds("justify_within_s")?,
    };
    from.finish()?;
    Ok(emergency)
}

fn read_reference(mut from: Members) -> Result<ExternalRef, InputError> {
    let reference = ExternalRef {
        system: from.text("system")?,
        id: from.text("id")?,
        digest: from.optional_parsed("digest", str::parse)?,
    };
    from.finish()?;
    Ok(reference)
}

fn read_act(mut from: Members, asked_at: Timestamp) -> Result<PlannedAct, InputError> {
    let group = |from: &mut Members| from.text("group");
    let reason = |from: &mut Members| from.optional_text("reason");
    let deed = match from.text::<Code>("act")?.as_str() {
        "approve" => Deed::Approve { group: group(&mut from)?, comment: from.optional_text("comment")? },
        "deny" => Deed::Deny { group: group(&mut from)?, reason: reason(&mut from)? },
        "withdraw" => Deed::Withdraw { reason: reason(&mut from)? },
        "issue" => Deed::Issue { show: from.flag("show")? },
        "terminate" => Deed::Terminate { reason: reason(&mut from)? },
        "revoke" => Deed::Revoke { cause: from.text("cause")?, reason: reason(&mut from)? },
        "close_obligation" => {
            Deed::Close { task: from.text("task")?, finding: from.text("finding")?, text: from.optional_text("text")? }
        }
        _ => return Err(from.shape("act", "approve, deny, withdraw, issue, terminate, revoke or close_obligation")),
    };
    let act = PlannedAct {
        at: asked_at.saturating_add(from.duration("after_s")?),
        by: from.parsed("by", actor)?,
        refused: from.optional_text("refused")?,
        deed,
    };
    from.finish()?;
    Ok(act)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("input/requests.json");

    fn with(from: &str, to: &str) -> Result<Scenario, InputError> {
        assert!(FILE.contains(from), "the input has no {from}");
        read("requests.json", FILE.replacen(from, to, 1).as_bytes(), Timestamp::EPOCH)
    }

    #[test]
    fn the_input_reads() {
        assert_eq!(with("", "").unwrap().requests.len(), 8);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_request() {
        for (from, to, named) in [
            ("\"for_s\": 3600", "\"for_s\": 3600, \"colour\": \"red\"", "`colour`"),
            ("\"for_s\": 3600,", "", "`for_s` is missing"),
            ("\"for_s\": 3600", "\"for_s\": 0", "`for_s` is not acceptable: window ends at"),
            ("\"for_s\": 3600", "\"for_s\": -1", "`for_s` should be a number of seconds"),
            ("\"actions\": [\"read\"]", "\"actions\": []", "`actions` is not acceptable: scope has no action"),
            ("\"justification\": \"Orders", "\"justification\": \" \", \"x\": \"", "justification is blank"),
            ("database:prod/orders", "database:", "`resource` is not acceptable"),
            ("\"act\": \"issue\"", "\"act\": \"grant\"", "`act` should be"),
        ] {
            let error = with(from, to).unwrap_err().to_string();
            assert!(error.contains("oncall-database") && error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_agent_needs_everything_that_makes_it_accountable() {
        for (from, named) in [
            ("\"owner\": \"idp.example|u-3009\",", "`owner` is missing"),
            ("\"task\": \"task-5521\",", "`task` is missing"),
            ("\"kind\": \"chat_message\",", "`kind` is missing"),
        ] {
            let error = with(from, "").unwrap_err().to_string();
            assert!(error.contains("agent-for-a-person") && error.contains(named), "{error}");
        }
    }

    #[test]
    fn json_beyond_the_restrictions_is_refused() {
        for (from, to) in [
            ("\"at_s\": 0", "\"at_s\": 0.5"),
            ("\"at_s\": 0", "\"at_s\": 0, \"at_s\": 1"),
            ("\"at_s\": 0", "\"at_s\": null"),
        ] {
            assert!(matches!(with(from, to), Err(InputError::Json { .. })), "{to}");
        }
    }
}
