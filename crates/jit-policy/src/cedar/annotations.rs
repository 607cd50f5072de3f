//! Obligations as annotations of rules: `@jit_approvals("sre:1,dba:2")`, `@jit_max_duration("1h30m")`.

use std::num::{NonZeroU16, NonZeroU32};

use jit_core::{
    Code, GroupCount, GroupName, Quorum, Seconds,
    canonical::{self, Value},
    code,
};

use crate::engine::RawObligation;

/// Reads one `@jit_…` annotation; the name is without the `jit_`.
pub(super) fn obligation(name: &str, text: &str) -> Result<RawObligation, String> {
    match name {
        "approvals" => raw(code!("approvals"), &approvals(text)?),
        "max_duration" => raw(code!("max_duration"), &duration(text)?),
        _ => Err(format!("@jit_{name} is not known")),
    }
}

fn raw(kind: Code, properties: &impl serde::Serialize) -> Result<RawObligation, String> {
    let properties: Value = canonical::to_value(properties).map_err(|e| e.to_string())?;
    Ok(RawObligation { kind, properties })
}

fn approvals(text: &str) -> Result<Quorum, String> {
    let mut groups = Vec::new();
    for part in text.split(',') {
        let malformed =
            || format!("@jit_approvals: {part:?} is not of the form group:count with a count of at least 1");
        let (group, count) = part.trim().rsplit_once(':').ok_or_else(malformed)?;
        let digits = count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse::<NonZeroU16>().ok().filter(|_| digits).ok_or_else(malformed)?;
        groups.push(GroupCount { group: GroupName::new(group).map_err(|e| e.to_string())?, count });
    }
    Quorum::try_from(groups).map_err(|e| format!("@jit_approvals: {e}"))
}

/// A duration such as `90s`, `30m`, `4h` or `1h30m`: units descending, each once.
fn duration(text: &str) -> Result<Seconds, String> {
    let malformed = || format!("@jit_max_duration: {text:?} is not of the form 4h, 30m, 90s or 1h30m, above zero");
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
            assert_eq!(duration(text).unwrap().get(), seconds, "{text}");
        }
        for bad in ["", "0s", "4", "h", "4d", "30m1h", "1h1h", "-1h", "1.5h", "99999999999h", "4h ", "2000000h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn approvals_read_as_written() {
        assert_eq!(approvals("sre:1, dba:2").unwrap().groups().count(), 2);
        for bad in ["", "sre", "sre:0", "sre:-1", "sre:+1", "sre:1,sre:2", ":1", "sre:1,", "sre:70000"] {
            assert!(approvals(bad).is_err(), "{bad}");
        }
    }
}
