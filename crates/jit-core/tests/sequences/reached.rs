//! What sequences come to.

use std::collections::BTreeSet;

use jit_core::*;

use crate::world::World;

/// What the sequences must have come to, or they prove little.
pub(crate) const REACHED: &[&str] = &[
    "request.submitted",
    "request.refused",
    "request.withdrawn",
    "request.lapsed",
    "policy.evaluated",
    "approval.recorded",
    "approval.voided",
    "approval.withdrawn",
    "approval.narrowed",
    "approval.escalated",
    "approved by an owner",
    "approved by an escalated group",
    "approved in a list",
    "approved with a signature",
    "approved after narrowing",
    "denied at the last approval",
    "obligation.overdue",
    "break_glass.announced",
    "grant.approved",
    "grant.denied",
    "grant.activated",
    "extension.requested",
    "extension.failed",
    "grant.extended",
    "extended by people",
    "extended by a rule",
    "renewed after an extension",
    "opened without a credential",
    "a child that was extended",
    "grant.expired",
    "grant.revoked",
    "grant.terminated",
    "grant.eligibility_withdrawn",
    "credential.intended",
    "credential.prepared",
    "credential.issued",
    "credential.failed",
    "credential.unknown",
    "credential.reconciled",
    "credential.expired",
    "revocation.intended",
    "revocation.confirmed",
    "revocation.failed",
    "revocation.unknown",
    "revocation.reconciled",
    "revocation.irrevocable",
    "revocation.demanded",
    "credential.handed_over",
    "grant.superseded",
    "grant.externally_modified",
    "break_glass.invoked",
    "obligation.opened",
    "obligation.closed",
    "command.refused",
    "case.closed",
    "entitlement.changed",
    "issued in a child",
    "ended by the parent",
    "issued after the end",
    "still justified by another",
];

/// What a world shows of [`REACHED`].
pub(crate) fn reached(world: &World) -> BTreeSet<String> {
    let mut seen: BTreeSet<String> = world.records.iter().map(|r| r.header().kind.to_string()).collect();
    let child = world.cases[1].request().is_some_and(|r| r.submitted.parent.is_some());
    let mut ended = BTreeSet::new();
    let mut extended = BTreeSet::new();
    let mut intended = BTreeSet::new();
    let mut narrowed = BTreeSet::new();
    for record in &world.records {
        let stream = record.header().stream;
        let issued = record.header().kind == Kind::CredentialIssued;
        if is_end(&record.header().kind) {
            ended.insert(stream);
        }
        let special = match record.event().unwrap() {
            Event::GrantRevoked(e) if e.ending.actor.is_none() => "ended by the parent",
            Event::EntitlementChanged(e) if !e.held && !e.live.is_empty() => "still justified by another",
            Event::GrantExtended(_) => {
                extended.insert(stream);
                if child && stream == world.cases[1].stream() {
                    seen.insert("a child that was extended".to_owned());
                }
                let of = record.header().refs.approvals[0];
                let approval = world.records.iter().find(|r| r.leaf() == of).unwrap().event().unwrap();
                let Event::ApprovalRecorded(approval) = approval else { panic!() };
                if approval.method == ApprovalMethod::Rule { "extended by a rule" } else { "extended by people" }
            }
            Event::CredentialIntended(_) => {
                intended.insert(stream);
                continue;
            }
            Event::ApprovalRecorded(e) => {
                for (holds, what) in [
                    (e.approver == crate::world::person("owner").id(), "approved by an owner"),
                    (e.group.as_ref().is_some_and(|g| g.as_str() == "leads"), "approved by an escalated group"),
                    (e.signature.is_some(), "approved with a signature"),
                    (e.list.is_some(), "approved in a list"),
                ] {
                    seen.extend(holds.then(|| what.to_owned()));
                }
                continue;
            }
            Event::GrantApproved(_) if narrowed.contains(&stream) => "approved after narrowing",
            Event::ApprovalNarrowed(_) => {
                narrowed.insert(stream);
                continue;
            }
            Event::GrantDenied(e) if e.cause.as_str() == "stricter_obligations" => "denied at the last approval",
            Event::GrantActivated(_) if !intended.contains(&stream) => "opened without a credential",
            _ if issued && extended.contains(&stream) && !ended.contains(&stream) => "renewed after an extension",
            _ if issued && ended.contains(&stream) => "issued after the end",
            _ if issued && child && stream == world.cases[1].stream() => "issued in a child",
            _ => continue,
        };
        seen.insert(special.to_owned());
    }
    seen
}
