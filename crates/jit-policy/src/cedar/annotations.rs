//! Obligations as annotations of rules: `@jit_approvals("sre:1 then leads after 30m, dba:2")`, `@jit_approval_deadline("2h")`,
//! `@jit_max_duration("1h30m")`, `@jit_justification("min 20, ticket INC-#, reference tickets")`, `@jit_owner_may_approve("true")`,
//! `@jit_requires("mfa")`.

use std::num::{NonZeroU16, NonZeroU32};

use jit_core::{
    Code, Condition, Enforcement, EscalationStep, GroupCount, GroupName, JustificationDemand, Quorum, Seconds,
    SystemName,
    canonical::{self, Value},
    code, condition,
};

use crate::engine::RawObligation;

/// The conditions that `@jit_requires` knows, with who enforces them unless the annotation says otherwise.
static FLAGS: [(Code, Enforcement); 3] = [
    (condition::MFA, Enforcement::Broker),
    (condition::MANAGED_DEVICE, Enforcement::Broker),
    (condition::SESSION_RECORDING, Enforcement::Target),
];
/// What a condition of one's own begins with, so that a misspelt one is not taken for it.
const OWN: &str = "x_";
/// The names that [`obligations`] reads.
const KNOWN: [&str; 9] = [
    "approval_deadline",
    "approvals",
    "justification",
    "max_duration",
    "notify",
    "owner_may_approve",
    "post_review",
    "requires",
    "source_address",
];

/// Reads one `@jit_…` annotation, which may demand several things; the name is without the `jit_`.
pub(super) fn obligations(name: &str, text: &str) -> Result<Vec<RawObligation>, String> {
    Ok(match name {
        "approvals" => vec![raw(code!("approvals"), &approvals(text)?)?],
        "max_duration" => vec![raw(code!("max_duration"), &duration("max_duration", text)?)?],
        "approval_deadline" => vec![raw(code!("approval_deadline"), &duration(name, text)?)?],
        "justification" => vec![raw(code!("justification"), &justification(text)?)?],
        "owner_may_approve" => vec![condition(&owner_may_approve(text)?)?],
        "requires" => requires(text)?.iter().map(condition).collect::<Result<_, _>>()?,
        "source_address" => {
            let (list, enforcement) = enforced(text, Enforcement::Target)?;
            let demanded = Condition::source_address(list.split(',').map(str::trim), enforcement);
            vec![condition(&demanded.map_err(|e| format!("@jit_source_address: {e}"))?)?]
        }
        "notify" => {
            let (list, enforcement) = enforced(text, Enforcement::Broker)?;
            let groups: Result<Vec<GroupName>, _> = list.split(',').map(|group| GroupName::new(group.trim())).collect();
            let demanded = Condition::notification(groups.map_err(|e| format!("@jit_notify: {e}"))?, enforcement);
            vec![condition(&demanded.map_err(|e| format!("@jit_notify: {e}"))?)?]
        }
        "post_review" => vec![condition(&Condition::post_review(duration("post_review", text)?))?],
        _ => return Err(format!("@jit_{name} is not known")),
    })
}

/// Whether there is an annotation `@jit_<name>`.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

fn condition(condition: &Condition) -> Result<RawObligation, String> {
    raw(code!("condition"), condition)
}

/// Who enforces, from the end of an annotation: `… at issuer`.
fn enforced(text: &str, otherwise: Enforcement) -> Result<(&str, Enforcement), String> {
    let Some((what, who)) = text.rsplit_once(" at ") else { return Ok((text, otherwise)) };
    let enforcement = match who.trim() {
        "broker" => Enforcement::Broker,
        "issuer" => Enforcement::Issuer,
        "target" => Enforcement::Target,
        "advisory" => Enforcement::Advisory,
        other => return Err(format!("{other:?} enforces nothing: it is broker, issuer, target or advisory")),
    };
    Ok((what, enforcement))
}

/// Conditions that are so or are not: `mfa, session_recording at issuer, x_our_own at target`.
fn requires(text: &str) -> Result<Vec<Condition>, String> {
    let mut all: Vec<Condition> = Vec::new();
    for part in text.split(',') {
        let known = |id: &str| FLAGS.iter().find(|(flag, _)| flag.as_str() == id);
        let (id, _) = enforced(part.trim(), Enforcement::Target)?;
        let otherwise = match known(id.trim()) {
            Some((_, enforcement)) => *enforcement,
            None if id.starts_with(OWN) => Enforcement::Target,
            None => return Err(format!("@jit_requires: {id:?} is not known; one of your own begins with {OWN}")),
        };
        let (id, enforcement) = enforced(part.trim(), otherwise)?;
        let id = Code::new(id.trim()).map_err(|e| format!("@jit_requires: {e}"))?;
        if all.iter().any(|condition| condition.id == id) {
            return Err(format!("@jit_requires: {id} stands there twice"));
        }
        all.push(Condition::flag(id, enforcement));
    }
    Ok(all)
}

fn raw(kind: Code, properties: &impl serde::Serialize) -> Result<RawObligation, String> {
    let properties: Value = canonical::to_value(properties).map_err(|e| e.to_string())?;
    Ok(RawObligation { kind, properties })
}

/// `group:count`, each with the groups that are asked when it does not answer: `sre:1 then leads after 30m then cto after 2h`.
fn approvals(text: &str) -> Result<Quorum, String> {
    let mut groups = Vec::new();
    let mut escalations = Vec::new();
    for part in text.split(',') {
        let malformed = || {
            format!(
                "@jit_approvals: {part:?} is not of the form group:count with a count of at least 1, or group:count then group after 30m"
            )
        };
        let mut steps = part.trim().split(" then ");
        let (group, count) = steps.next().and_then(|first| first.rsplit_once(':')).ok_or_else(malformed)?;
        let digits = count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse::<NonZeroU16>().ok().filter(|_| digits).ok_or_else(malformed)?;
        let group = GroupName::new(group).map_err(|e| e.to_string())?;
        let step = |step: &str| {
            let (to, after) = step.trim().split_once(" after ").ok_or_else(malformed)?;
            let to = GroupName::new(to).map_err(|e| e.to_string())?;
            Ok::<_, String>(EscalationStep { after: duration("approvals", after.trim())?, to })
        };
        let steps: Vec<EscalationStep> = steps.map(step).collect::<Result<_, _>>()?;
        groups.push(GroupCount { group: group.clone(), count });
        escalations.push((group, steps));
    }
    let wrong = |e| format!("@jit_approvals: {e}");
    let quorum = Quorum::try_from(groups).map_err(wrong)?;
    escalations.into_iter().try_fold(quorum, |quorum, (group, steps)| quorum.escalating(&group, steps)).map_err(wrong)
}

/// `min 20`, `ticket INC-#`, `reference tickets`, separated by commas.
fn justification(text: &str) -> Result<JustificationDemand, String> {
    let mut demand = JustificationDemand::default();
    for part in text.split(',') {
        let malformed = || format!("@jit_justification: {part:?} is not min, ticket or reference with its value");
        let (what, value) = part.trim().split_once(' ').ok_or_else(malformed)?;
        demand = match (what, value.trim()) {
            ("min", length) => {
                let digits = length.bytes().all(|b| b.is_ascii_digit());
                let length = length.parse().ok().filter(|length| digits && *length > 0).ok_or_else(malformed)?;
                demand.and(&JustificationDemand::default().min_length(length))
            }
            ("ticket", pattern) => demand.ticket(pattern.parse().map_err(|e| format!("@jit_justification: {e}"))?),
            ("reference", system) => demand.reference(SystemName::new(system.to_owned()).map_err(|e| e.to_string())?),
            _ => return Err(malformed()),
        };
    }
    Ok(demand)
}

/// The condition under which the owner of an agent may approve its request, on a rule that lets them approve.
fn owner_may_approve(text: &str) -> Result<Condition, String> {
    if text == "true" {
        Ok(Condition { id: code!("owner_may_approve"), value: Value::Bool(true), enforcement: Enforcement::Broker })
    } else {
        Err(format!("@jit_owner_may_approve: {text:?} is not true"))
    }
}

/// A duration such as `90s`, `30m`, `4h` or `1h30m`: units descending, each once.
fn duration(name: &str, text: &str) -> Result<Seconds, String> {
    let malformed = || format!("@jit_{name}: {text:?} is not of the form 4h, 30m, 90s or 1h30m, above zero");
    let mut total: u32 = 0;
    let mut last = u32::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(malformed)?;
        let mut tail = tail.chars();
        let unit = match tail.next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(malformed()),
        };
        if unit >= last {
            return Err(malformed());
        }
        last = unit;
        let part = number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(malformed)?;
        total = total.checked_add(part).ok_or_else(malformed)?;
        rest = tail.as_str();
    }
    NonZeroU32::new(total).map(Seconds::new).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        for (text, seconds) in [("4h", 14_400), ("30m", 1_800), ("90s", 90), ("1h30m", 5_400), ("1h1s", 3_601)] {
            assert_eq!(duration("max_duration", text).unwrap().get(), seconds, "{text}");
        }
        for bad in ["", "0s", "4", "h", "4d", "30m1h", "1h1h", "-1h", "1.5h", "99999999999h", "4h ", "2000000h"] {
            assert!(duration("max_duration", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn approvals_read_as_written() {
        assert_eq!(approvals("sre:1, dba:2").unwrap().groups().count(), 2);
        let escalating = approvals("sre:1 then leads after 30m then cto after 1h30m, dba:2").unwrap();
        let sre = GroupName::new("sre").unwrap();
        let steps: Vec<_> = escalating.escalation(&sre).iter().map(|s| (s.to.as_str(), s.after.get())).collect();
        assert_eq!(steps, [("leads", 1_800), ("cto", 5_400)]);
        for bad in [
            "sre:1 then",
            "sre:1 then a",
            "sre:1 then sre after 1m",
            "sre:1 then b after 1m, b:1",
            "sre:1 then a after 0s",
        ] {
            assert!(approvals(bad).is_err(), "{bad}");
        }
        for bad in ["", "sre", "sre:0", "sre:-1", "sre:+1", "sre:1,sre:2", ":1", "sre:1,", "sre:70000"] {
            assert!(approvals(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_read_as_written() {
        let read = |name: &str, text: &str| {
            let all = obligations(name, text).unwrap();
            let texts = all.iter().map(|o| String::from_utf8(o.properties.to_bytes().unwrap()).unwrap());
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            read("requires", "mfa, session_recording at issuer, x_vpn"),
            concat!(
                r#"{"enforcement":"broker","id":"mfa","value":true} "#,
                r#"{"enforcement":"issuer","id":"session_recording","value":true} "#,
                r#"{"enforcement":"target","id":"x_vpn","value":true}"#
            )
        );
        assert_eq!(
            read("source_address", "192.0.2.0/24, 10.0.0.0/8 at issuer"),
            r#"{"enforcement":"issuer","id":"source_address","value":["10.0.0.0/8","192.0.2.0/24"]}"#
        );
        assert_eq!(
            read("notify", "sre-leads"),
            r#"{"enforcement":"broker","id":"notification","value":["sre-leads"]}"#
        );
        assert_eq!(read("post_review", "24h"), r#"{"enforcement":"broker","id":"post_review","value":86400}"#);
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (name, bad) in [
            ("requires", "mfaa"),
            ("requires", ""),
            ("requires", "mfa,mfa"),
            ("requires", "mfa at nowhere"),
            ("source_address", "10.0.0.1/8"),
            ("source_address", ""),
            ("notify", ""),
            ("post_review", "soon"),
            ("requires_mfa", "true"),
        ] {
            assert!(obligations(name, bad).is_err(), "{name} {bad}");
        }
    }

    #[test]
    fn demands_on_justifications_read_as_written() {
        let demand = justification("min 20, ticket INC-#, reference tickets").unwrap();
        let by_hand = JustificationDemand::default().min_length(20).ticket("INC-#".parse().unwrap());
        assert_eq!(demand, by_hand.reference(SystemName::new("tickets").unwrap()));
        for bad in ["", "min", "min 0", "min -1", "ticket (a+)+", "reference", "max 3"] {
            assert!(justification(bad).is_err(), "{bad}");
        }
        assert!(owner_may_approve("true").is_ok() && owner_may_approve("yes").is_err());
    }
}
