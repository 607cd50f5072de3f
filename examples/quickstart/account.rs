//! The account of a case for people: what happened, and how it ended, as its records say.

use std::error::Error;

use jit_core::{Case, CaseId, Code, Ending, Event, Kind, Phase, PrincipalId, Record, Timestamp};
use jit_store::LogRecord;

use crate::requests::PlannedRequest;

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) case: CaseId,
    /// What happened, in order.
    pub(crate) lines: Vec<String>,
    /// Header and claims of a token that was to be shown.
    pub(crate) shown: Option<[String; 2]>,
}

impl Account {
    pub(crate) fn new(case: CaseId) -> Self {
        Self { case, lines: Vec::new(), shown: None }
    }

    pub(crate) fn tell(&mut self, at: Timestamp, what: &str) {
        self.lines.push(format!("{}  {what}", clock_time(at)));
    }
}

/// Why a case did not end as planned, if it did not.
pub(crate) fn surprise(planned: &PlannedRequest, case: &Case) -> Option<String> {
    let ended = match case.phase() {
        Phase::Denied => Some(Kind::GrantDenied),
        Phase::Withdrawn => Some(Kind::RequestWithdrawn),
        Phase::Lapsed => Some(Kind::RequestLapsed),
        _ => case.grant().and_then(|grant| grant.end.as_ref()).map(|end| end.kind.clone()),
    };
    let open: Vec<&Code> = case.obligations().values().filter(|o| !o.closed).map(|o| &o.task).collect();
    let as_planned = ended.as_ref() == Some(&planned.ends_with)
        && open == Vec::from_iter(&planned.leaves_open)
        && case.is_closed() == open.is_empty();
    (!as_planned).then(|| {
        let ended = ended.map_or("no end".to_owned(), |kind| kind.to_string());
        let wanted = planned.leaves_open.as_ref().map_or("nothing", |task| task.as_str());
        let names: Vec<&str> = open.iter().map(|task| task.as_str()).collect();
        let open = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let (name, planned) = (&planned.name, &planned.ends_with);
        format!("{name} ended with {ended} and left {open} open; planned was {planned} and {wanted} open")
    })
}

/// How a case ended, in one line or two.
pub(crate) fn ending(case: &Case, records: &[LogRecord]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().filter_map(|entry| told(entry.record())).collect();
    let open: Vec<String> = case
        .obligations()
        .values()
        .filter(|obligation| !obligation.closed)
        .map(|obligation| format!("`{}` is due by {}", obligation.task, obligation.due))
        .collect();
    let state = match open.as_slice() {
        [] if case.is_closed() => "case closed".to_owned(),
        [] => "case open".to_owned(),
        open => format!("case stays open, {}", open.join(", ")),
    };
    if let Some(last) = lines.last_mut() {
        *last = format!("{last}; {state}, {} records", records.len());
    }
    lines
}

fn told(record: &Record) -> Option<String> {
    let at = clock_time(record.header().at);
    let what = match record.event().ok()? {
        Event::GrantDenied(denied) => match denied.by {
            Some(PrincipalId::Rule(rule)) => format!("denied by rule {rule}: {}", denied.cause),
            Some(by) => format!("denied by {by}: {}", denied.cause),
            None => format!("denied: {}", denied.cause),
        },
        Event::RequestLapsed(_) => "lapsed: nobody decided in time".to_owned(),
        Event::GrantExpired(_) => "the window is over: access ended by itself".to_owned(),
        Event::GrantTerminated(e) => format!("access ended{}", residual(&e.ending)),
        Event::GrantRevoked(e) => format!("access ended{}", residual(&e.ending)),
        Event::CredentialExpired(_) => "the token is dead, verifiers' leeway included".to_owned(),
        _ => return None,
    };
    Some(format!("{at}  {what}"))
}

fn residual(ending: &Ending) -> String {
    let until = ending.residual.credentials.iter().filter_map(|credential| credential.until).max();
    match until {
        Some(until) => format!("; its token cannot be recalled and dies at {}", clock_time(until)),
        None => String::new(),
    }
}

/// The time of day in UTC.
pub(crate) fn clock_time(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

/// An error with everything that caused it.
pub(crate) fn causes(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
