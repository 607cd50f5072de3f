//! What sshd is made to enforce, and what it is told to allow (PROTOCOL.certkeys, critical options and extensions).

use std::{collections::BTreeSet, net::IpAddr};

use jit_core::{Code, Condition, Enforcement, canonical::Value, code};

/// The most characters of a forced command.
pub const MAX_COMMAND: usize = 2048;
/// The most networks a certificate may be bound to.
pub const MAX_NETWORKS: usize = 32;

/// What a session may do besides running commands. Everything that is not named stays off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SshPermission {
    /// Forward an authentication agent.
    AgentForwarding,
    /// Forward ports.
    PortForwarding,
    /// Have a terminal.
    Pty,
    /// Run `~/.ssh/rc`.
    UserRc,
    /// Forward X11.
    X11Forwarding,
}

impl SshPermission {
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::AgentForwarding => "permit-agent-forwarding",
            Self::PortForwarding => "permit-port-forwarding",
            Self::Pty => "permit-pty",
            Self::UserRc => "permit-user-rc",
            Self::X11Forwarding => "permit-X11-forwarding",
        }
    }
}

/// The critical options that the conditions of a grant ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CriticalOptions {
    pub(super) source_address: Option<String>,
    pub(super) force_command: Option<String>,
}

impl CriticalOptions {
    /// What the conditions that issuer or target must enforce ask for; a code if sshd cannot enforce one.
    pub(super) fn of(conditions: &[Condition]) -> Result<Self, Code> {
        let mut options = Self::default();
        for condition in conditions {
            match condition.enforcement {
                Enforcement::Broker | Enforcement::Advisory => continue,
                _ => {}
            }
            let slot = match condition.id.as_str() {
                "source_address" => options.source_address.replace(networks(&condition.value)?),
                "force_command" => options.force_command.replace(command(&condition.value)?),
                _ => return Err(code!("condition_not_enforceable")),
            };
            if slot.is_some() {
                return Err(code!("condition_twice"));
            }
        }
        Ok(options)
    }
}

/// One network or an array of them, as the comma-separated list that sshd reads.
fn networks(value: &Value) -> Result<String, Code> {
    let invalid = || code!("source_address_invalid");
    let one = std::slice::from_ref(value);
    let listed = value.as_array().unwrap_or(one);
    let networks: Option<BTreeSet<String>> = listed.iter().map(|v| v.as_str().and_then(network)).collect();
    let networks = networks.filter(|n| (1..=MAX_NETWORKS).contains(&n.len())).ok_or_else(invalid)?;
    Ok(networks.into_iter().collect::<Vec<_>>().join(","))
}

/// An address, or a network `address/bits` without host bits, which sshd refuses.
fn network(text: &str) -> Option<String> {
    let Some((address, bits)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(|address| address.to_string());
    };
    let address: IpAddr = address.parse().ok()?;
    let bits: u32 = bits.bytes().all(|b| b.is_ascii_digit()).then(|| bits.parse().ok()).flatten()?;
    let (number, length) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32_u32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host_bits = length.checked_sub(bits)?;
    let without_host = number.checked_shr(host_bits).and_then(|n| n.checked_shl(host_bits)).unwrap_or(0);
    (number == without_host).then(|| format!("{address}/{bits}"))
}

fn command(value: &Value) -> Result<String, Code> {
    let text = value.as_str().filter(|text| !text.trim().is_empty() && text.len() <= MAX_COMMAND);
    match text {
        Some(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(code!("force_command_invalid")),
    }
}
