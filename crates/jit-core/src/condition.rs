//! Conditions that everybody means the same by: their names, their values, where they are enforced, and how they merge.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    canonical::Value,
    code,
    obligation::{Condition, Enforcement},
    source::Seconds,
    text::{Code, GroupName},
};

/// The holder has shown a second factor.
pub const MFA: Code = code!("mfa");
/// The holder works on a device that is managed.
pub const MANAGED_DEVICE: Code = code!("managed_device");
/// The session is recorded.
pub const SESSION_RECORDING: Code = code!("session_recording");
/// Access comes from one of these networks.
pub const SOURCE_ADDRESS: Code = code!("source_address");
/// These groups are told about the access.
pub const NOTIFICATION: Code = code!("notification");
/// The access is reviewed within so many seconds after its window.
pub const POST_REVIEW: Code = code!("post_review");

/// A value is not one of its condition's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// Not an address or a network without host bits, and its length: `10.0.0.0/8`.
    #[error("{0:?} is not an address or a network without host bits")]
    Network(String),
    /// Nothing is listed.
    #[error("condition {0} lists nothing")]
    Empty(Code),
}

impl Condition {
    /// A condition that is so or is not: [`MFA`], [`MANAGED_DEVICE`], [`SESSION_RECORDING`], or one of your own.
    #[must_use]
    pub fn flag(id: Code, enforcement: Enforcement) -> Self {
        Self { id, value: Value::Bool(true), enforcement }
    }

    /// Access from these networks only. Several rules that demand it leave what is in all of them.
    ///
    /// ```
    /// use jit_core::{Condition, Enforcement};
    /// let office = Condition::source_address(["10.0.0.0/8", "192.0.2.7"], Enforcement::Issuer)?;
    /// assert_eq!(office.id, jit_core::condition::SOURCE_ADDRESS);
    /// # Ok::<(), jit_core::ConditionError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConditionError`] if there is none, or one is malformed or has host bits.
    pub fn source_address<'a>(
        networks: impl IntoIterator<Item = &'a str>,
        enforcement: Enforcement,
    ) -> Result<Self, ConditionError> {
        let mut parsed = BTreeSet::new();
        for text in networks {
            parsed.insert(Network::parse(text).ok_or_else(|| ConditionError::Network(text.to_owned()))?);
        }
        let value = listed(&outermost(parsed)).ok_or(ConditionError::Empty(SOURCE_ADDRESS))?;
        Ok(Self { id: SOURCE_ADDRESS, value, enforcement })
    }

    /// These groups are told. Several rules that demand it have all of them told.
    ///
    /// # Errors
    /// [`ConditionError::Empty`] if there is none.
    pub fn notification(
        groups: impl IntoIterator<Item = GroupName>,
        enforcement: Enforcement,
    ) -> Result<Self, ConditionError> {
        let groups: BTreeSet<String> = groups.into_iter().map(|group| group.as_str().to_owned()).collect();
        let value = texts(groups).ok_or(ConditionError::Empty(NOTIFICATION))?;
        Ok(Self { id: NOTIFICATION, value, enforcement })
    }

    /// Somebody reviews the access within this time after its window ends. Of several the shortest holds.
    #[must_use]
    pub fn post_review(within: Seconds) -> Self {
        Self { id: POST_REVIEW, value: Value::from(within.get()), enforcement: Enforcement::Broker }
    }

    /// Whether the value is of the form that belongs to the id, so that whoever enforces it knows what is meant. Ids that are not
    /// named in this module take any value.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        match self.id.as_str() {
            "mfa" | "managed_device" | "session_recording" | "owner_may_approve" => self.value == Value::Bool(true),
            "source_address" => networks(&self.value).is_some(),
            "notification" => names(&self.value).is_some() && self.as_notification().is_some(),
            "post_review" => self.as_post_review().is_some(),
            _ => true,
        }
    }

    /// The groups that are to be told, if this says so.
    #[must_use]
    pub fn as_notification(&self) -> Option<BTreeSet<GroupName>> {
        let groups = (self.id == NOTIFICATION).then(|| self.value.as_array()).flatten()?;
        groups.iter().map(|group| GroupName::new(group.as_str()?).ok()).collect()
    }

    /// Within what time after its window the access is to be reviewed, if this says so.
    #[must_use]
    pub fn as_post_review(&self) -> Option<Seconds> {
        let seconds = (self.id == POST_REVIEW).then(|| self.value.as_int()).flatten()?;
        Some(Seconds::new(u32::try_from(seconds).ok()?.try_into().ok()?))
    }
}

/// The value that demands both of these of one condition; `None` if nothing does. Values that are not of the form that the
/// constructors give must be equal.
pub(crate) fn both(id: &Code, a: &Value, b: &Value) -> Option<Value> {
    if a == b {
        return Some(a.clone());
    }
    match id.as_str() {
        "source_address" => {
            let (a, b) = (networks(a)?, networks(b)?);
            let common: BTreeSet<Network> = a.iter().flat_map(|a| b.iter().filter_map(|b| a.common(*b))).collect();
            listed(&outermost(common))
        }
        "notification" => {
            let (mut a, b) = (names(a)?, names(b)?);
            a.extend(b);
            texts(a)
        }
        "post_review" => {
            let (x, y) = (a.as_int()?, b.as_int()?);
            (x > 0 && y > 0).then(|| if x <= y { a.clone() } else { b.clone() })
        }
        _ => None,
    }
}

/// Whether what meets `theirs` of a condition meets `mine` too.
pub(crate) fn no_stricter(mine: &Condition, theirs: &Condition) -> bool {
    let value = match both(&mine.id, &mine.value, &theirs.value) {
        Some(both) => both == theirs.value,
        None => false,
    };
    value && mine.enforcement >= theirs.enforcement
}

/// A network, without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    v6: bool,
    number: u128,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let (v6, number, length) = match address {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (true, v6.to_bits(), 128),
        };
        let bits = match bits {
            None => length,
            Some(bits) => bits.bytes().all(|b| b.is_ascii_digit()).then(|| bits.parse().ok()).flatten()?,
        };
        let network = Self { v6, number, bits };
        (bits <= length && network.prefix(bits) == number).then_some(network)
    }

    fn length(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    /// The number with only its first bits.
    fn prefix(self, bits: u32) -> u128 {
        let host = self.length().saturating_sub(bits);
        self.number.checked_shr(host).and_then(|n| n.checked_shl(host)).unwrap_or(0)
    }

    fn contains(self, other: Self) -> bool {
        self.v6 == other.v6 && self.bits <= other.bits && other.prefix(self.bits) == self.number
    }

    /// What is in both: networks are nested or apart.
    fn common(self, other: Self) -> Option<Self> {
        if self.contains(other) { Some(other) } else { other.contains(self).then_some(self) }
    }

    fn text(self) -> String {
        let address = if self.v6 {
            IpAddr::from(self.number.to_be_bytes())
        } else {
            IpAddr::from(u32::try_from(self.number).unwrap_or_default().to_be_bytes())
        };
        if self.bits == self.length() { address.to_string() } else { format!("{address}/{}", self.bits) }
    }
}

/// Without those that lie in another one. Sorted, a network stands right before what lies in it.
fn outermost(networks: BTreeSet<Network>) -> Vec<Network> {
    let mut outer: Vec<Network> = Vec::new();
    for network in networks {
        if !outer.last().is_some_and(|last| last.contains(network)) {
            outer.push(network);
        }
    }
    outer
}

/// The networks of a value as [`Condition::source_address`] makes it.
fn networks(value: &Value) -> Option<Vec<Network>> {
    let read: Option<Vec<Network>> = value.as_array()?.iter().map(|text| Network::parse(text.as_str()?)).collect();
    read.filter(|networks| {
        listed(networks).as_ref() == Some(value) && outermost(networks.iter().copied().collect()) == *networks
    })
}

fn listed(networks: &[Network]) -> Option<Value> {
    let list: Result<Vec<Value>, _> = networks.iter().map(|network| Value::text(network.text())).collect();
    list.ok().filter(|list| !list.is_empty()).map(Value::Array)
}

/// The names of a value as [`Condition::notification`] makes it.
fn names(value: &Value) -> Option<BTreeSet<String>> {
    let names: Option<BTreeSet<String>> =
        value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| texts(names.clone()).as_ref() == Some(value))
}

fn texts(names: BTreeSet<String>) -> Option<Value> {
    let list: Result<Vec<Value>, _> = names.into_iter().map(Value::text).collect();
    list.ok().filter(|list| !list.is_empty()).map(Value::Array)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn network() -> impl Strategy<Value = Network> {
        (0_u32..4, 0_u32..=4, any::<bool>()).prop_map(|(number, bits, v6)| {
            let length = if v6 { 128 } else { 32 };
            let whole = Network { v6, number: u128::from(number) << (length - 4), bits };
            Network { number: whole.prefix(bits), ..whole }
        })
    }

    fn networks() -> impl Strategy<Value = Condition> {
        proptest::collection::vec(network(), 1..4).prop_map(|networks| {
            let texts: Vec<String> = networks.iter().map(|network| network.text()).collect();
            Condition::source_address(texts.iter().map(String::as_str), Enforcement::Target).unwrap()
        })
    }

    fn groups() -> impl Strategy<Value = Condition> {
        proptest::collection::vec("[abc]", 1..3).prop_map(|groups| {
            let groups = groups.into_iter().map(|group| GroupName::new(group).unwrap());
            Condition::notification(groups, Enforcement::Broker).unwrap()
        })
    }

    fn review() -> impl Strategy<Value = Condition> {
        (1_u32..5).prop_map(|s| Condition::post_review(Seconds::new(NonZeroU32::new(s).unwrap())))
    }

    /// Three of one kind, among them what nobody's constructor made.
    fn three<S: Strategy<Value = Condition>>(of: fn() -> S) -> impl Strategy<Value = [Condition; 3]> {
        let one = move || {
            (of(), "[ab]", 0..5).prop_map(|(made, text, strange)| match strange {
                0 => Condition { value: Value::text(text).unwrap(), ..made },
                _ => made,
            })
        };
        [one(), one(), one()]
    }

    proptest! {
        #[test]
        fn values_merge_by_the_laws([a, b, c] in prop_oneof![three(networks), three(groups), three(review)]) {
            let merge = |x: &Option<Value>, y: &Option<Value>| both(&a.id, x.as_ref()?, y.as_ref()?);
            let (x, y, z) = (Some(a.value.clone()), Some(b.value.clone()), Some(c.value.clone()));
            prop_assert_eq!(merge(&x, &x), x.clone());
            prop_assert_eq!(merge(&x, &y), merge(&y, &x));
            prop_assert_eq!(merge(&merge(&x, &y), &z), merge(&x, &merge(&y, &z)));
            if let Some(both) = merge(&x, &y) {
                let both = Condition { value: both, ..a.clone() };
                let (a, b) = (Condition { enforcement: both.enforcement, ..a }, Condition { enforcement: both.enforcement, ..b });
                prop_assert!(no_stricter(&a, &both) && no_stricter(&b, &both));
            }
        }
    }

    #[test]
    fn networks_are_read_as_written() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(Network::parse(text).unwrap().text(), read);
        }
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "ten", "::/129", "10.0.0/8"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
        let value = Condition::source_address(["10.1.0.0/16", "10.0.0.0/8", "::1"], Enforcement::Target).unwrap().value;
        assert_eq!(value.to_bytes().unwrap(), br#"["10.0.0.0/8","::1"]"#);
        assert!(Condition::source_address([], Enforcement::Target).is_err());
    }

    #[test]
    fn networks_that_are_apart_contradict_each_other() {
        let of = |network| Condition::source_address([network], Enforcement::Target).unwrap().value;
        assert_eq!(both(&SOURCE_ADDRESS, &of("10.0.0.0/8"), &of("10.1.0.0/16")), Some(of("10.1.0.0/16")));
        assert_eq!(both(&SOURCE_ADDRESS, &of("10.0.0.0/8"), &of("192.0.2.0/24")), None);
        assert_eq!(both(&SOURCE_ADDRESS, &of("0.0.0.0/0"), &of("::/0")), None);
    }
}
