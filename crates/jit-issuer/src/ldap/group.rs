//! A group as its entry shows it: its members, and the marks of the grants that have them.

use std::collections::BTreeMap;

use jit_core::{CredentialId, ExternalId, IssuerName, code};
use sha2::{Digest as _, Sha256};

use super::{
    config::{EntryUuid, GroupShape, ManagedGroup},
    dn::Dn,
    message::{Act, Attributes, Change},
    session::{Session, Trouble},
};
use crate::{
    CredentialReason,
    membership::{Mark, Origin, Standing},
};

/// Longer names are told by their digest in records, where a serial has 255 bytes.
const LONGEST_LABEL: usize = 200;

/// What a member is called in marks and records: its distinguished name in its normal spelling, or the SHA-256 of that if it is too
/// long or cannot be printed.
pub(super) fn label(member: &Dn) -> String {
    label_of(member.normal())
}

fn label_of(name: String) -> String {
    if name.len() <= LONGEST_LABEL && ExternalId::new(name.clone()).is_ok() {
        return name;
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(name)))
}

/// The entry of a group.
pub(super) struct GroupEntry {
    /// The values as the directory has them, by the labels of members.
    pub(super) members: BTreeMap<String, Vec<u8>>,
    marks: BTreeMap<String, Vec<(Vec<u8>, Mark)>>,
    /// Its object classes, in lower case.
    pub(super) classes: Vec<String>,
}

impl GroupEntry {
    /// Reads a group that is the one that was configured.
    pub(super) async fn read(
        session: &mut Session,
        group: &ManagedGroup,
        shape: &GroupShape,
        issuer: &IssuerName,
    ) -> Result<Self, Trouble> {
        let attributes = [shape.members, &shape.marks, "entryUUID", "objectClass"];
        let entry = session.read(&group.dn.to_string(), &attributes).await?;
        if uuid(&entry) != Some(group.uuid) {
            return Err(Trouble::Refused(code!("group_is_another")));
        }
        Self::of(&entry, shape, issuer)
    }

    fn of(entry: &Attributes, shape: &GroupShape, issuer: &IssuerName) -> Result<Self, Trouble> {
        let (members, marks) = (shape.members.to_ascii_lowercase(), shape.marks.to_ascii_lowercase());
        let ranged = |name: &String| name.starts_with(&format!("{members};")) || name.starts_with(&format!("{marks};"));
        if entry.keys().any(ranged) {
            // Some directories give the values of a large group in parts; what is not in the first would seem to be gone.
            return Err(Trouble::Refused(code!("values_in_parts")));
        }
        let values = |name: &str| entry.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut group = Self { members: BTreeMap::new(), marks: BTreeMap::new(), classes: Vec::new() };
        for value in values(&members) {
            let text = std::str::from_utf8(value).map_err(|_| Trouble::Refused(code!("member_not_text")))?;
            let name = text.parse().map_or_else(|_| text.to_owned(), |name: Dn| name.normal());
            group.members.insert(label_of(name), value.clone());
        }
        for value in values(&marks) {
            if let Some((label, mark)) = std::str::from_utf8(value).ok().and_then(|text| read_mark(text, issuer)) {
                group.marks.entry(label).or_default().push((value.clone(), mark));
            }
        }
        let classes = values("objectclass").iter().filter_map(|value| std::str::from_utf8(value).ok());
        group.classes = classes.map(str::to_ascii_lowercase).collect();
        Ok(group)
    }

    /// What stands between the group and a member.
    pub(super) fn standing(&self, label: &str) -> Standing {
        let marks = self.marks.get(label).into_iter().flatten().map(|(_, mark)| mark.clone()).collect();
        Standing { member: self.members.contains_key(label), marks }
    }

    /// The changes that delete the marks of a member.
    pub(super) fn unmarking(&self, label: &str, shape: &GroupShape) -> Vec<Change> {
        let marks = self.marks.get(label).into_iter().flatten();
        marks.map(|(value, _)| Change::new(Act::Delete, &shape.marks, value.clone())).collect()
    }

    /// The changes that delete a member and its marks.
    pub(super) fn removing(&self, label: &str, shape: &GroupShape) -> Vec<Change> {
        let member = self.members.get(label).map(|value| Change::new(Act::Delete, shape.members, value.clone()));
        member.into_iter().chain(self.unmarking(label, shape)).collect()
    }
}

/// The `entryUUID` of an entry.
pub(super) fn uuid(entry: &Attributes) -> Option<EntryUuid> {
    let value = entry.get("entryuuid")?.first()?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The mark of one grant, as a value of the group's entry:
/// `jit:<issuer> <credential> <granted or already_member> <reason> <member>`.
pub(super) fn write_mark(issuer: &IssuerName, mark: &Mark, reason: CredentialReason, label: &str) -> String {
    format!("jit:{issuer} {} {} {reason} {label}", mark.credential, mark.origin.as_str())
}

fn read_mark(text: &str, issuer: &IssuerName) -> Option<(String, Mark)> {
    let rest = text.strip_prefix("jit:")?.strip_prefix(issuer.as_str())?.strip_prefix(' ')?;
    let mut parts = rest.splitn(4, ' ');
    let credential: CredentialId = parts.next()?.parse().ok()?;
    let origin = Origin::parse(parts.next()?)?;
    let reason = parts.next()?.parse().ok();
    Some((parts.next()?.to_owned(), Mark { credential, origin, reason }))
}

#[cfg(test)]
mod tests {
    use jit_core::{GrantId, LeafHash, RecordId};

    use super::*;

    fn dn(text: &str) -> Dn {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let issuer = IssuerName::new("staff").unwrap_or_else(|_| panic!("a name"));
        let reason = CredentialReason {
            grant: GrantId::v8([1; 16]),
            decision: RecordId::v8([2; 16]),
            evidence: LeafHash::from_bytes([3; 32]),
        };
        let mark = Mark { credential: CredentialId::v8([9; 16]), origin: Origin::Granted, reason: Some(reason) };
        let text = write_mark(&issuer, &mark, reason, "cn=a b,dc=x");
        assert_eq!(read_mark(&text, &issuer), Some(("cn=a b,dc=x".to_owned(), mark)));
        let other = IssuerName::new("staf").unwrap_or_else(|_| panic!("a name"));
        for wrong in [text.replace("granted", "taken"), text.replace("jit:", "jit "), "jit:staff".to_owned()] {
            assert_eq!(read_mark(&wrong, &issuer), None, "{wrong}");
        }
        assert_eq!(read_mark(&text, &other), None);
        assert!(read_mark(&text.replace(r#"{"g""#, r#"{"x""#), &issuer).is_some_and(|(_, mark)| mark.reason.is_none()));
    }

    #[test]
    fn a_label_fits_a_record_whatever_the_name() {
        assert_eq!(label(&dn("UID=Alice, dc=Example")), "uid=alice,dc=example");
        for odd in [dn(&format!("uid={},dc=example", "x".repeat(300))), dn("uid=\u{202e}ecila,dc=example")] {
            let label = label(&odd);
            assert!(label.starts_with("sha256:") && label.len() == 71, "{label}");
        }
    }
}
