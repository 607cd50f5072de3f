//! Ending a grant: by time, by its holder, by somebody else, by its parent, by another grant, by a bar, by its target. An act on many
//! grants, a bar and the end of a parent deny requests that are not granted yet.

use crate::{
    case::{
        Case, Phase,
        command::{Context, Decided, EndBy},
        refusal::Refusal,
    },
    code,
    ending::Ending,
    event::{
        Event, GrantDenied, GrantEligibilityWithdrawn, GrantExpired, GrantExternallyModified, GrantRevoked,
        GrantSuperseded, GrantTerminated,
    },
    ids::GrantId,
    principal::PrincipalId,
    text::{Code, Prose},
};

impl Case {
    pub(super) fn expire(&self, context: &Context) -> Decided {
        let Some(grant) = self.grant.as_ref().filter(|g| g.end.is_none()) else {
            return Decided::refused(Refusal::Phase(self.phase()));
        };
        let end = grant.approved.approved.end();
        if context.now < end {
            return Decided::refused(Refusal::NotDue(end));
        }
        match self.ending(None, code!("window_ended"), context) {
            Ok(ending) => Decided::done([GrantExpired { ending }.into()]),
            Err(refusal) => Decided::refused(refusal),
        }
    }

    pub(super) fn end(&self, by: &EndBy, cause: &Code, reason: Option<&Prose>, context: &Context) -> Decided {
        match self.try_end(by, cause, reason, context) {
            Ok(event) => Decided::done([event]),
            Err(refusal) => match by {
                EndBy::Holder(id) => self.refused_act(id.clone(), code!("terminate"), refusal),
                EndBy::Other(id) => self.refused_act(id.clone(), code!("revoke"), refusal),
                EndBy::Grant { by, .. } => self.refused_act(by.clone(), code!("supersede"), refusal),
                // Nobody asked for this grant by name, so a refusal is nobody's.
                EndBy::Parent(_) | EndBy::Bulk { .. } | EndBy::Bar { .. } | EndBy::Target { .. } => {
                    Decided::refused(refusal)
                }
            },
        }
    }

    fn try_end(&self, by: &EndBy, cause: &Code, reason: Option<&Prose>, context: &Context) -> Result<Event, Refusal> {
        let reason = reason.cloned();
        match by {
            // What still waits would become a grant that was meant to end, or never can be used.
            EndBy::Bulk { by, .. } | EndBy::Bar { by, .. } if self.awaits_decision() => {
                Ok(GrantDenied { by: Some(by.clone()), cause: cause.clone(), reason }.into())
            }
            EndBy::Parent(_) if self.awaits_decision() => {
                Ok(GrantDenied { by: None, cause: cause.clone(), reason }.into())
            }
            EndBy::Holder(id) => {
                let ending = self.ending(Some(id.clone()), cause.clone(), context)?;
                let own = self.interested().contains(id);
                if own { Ok(GrantTerminated { ending, reason }.into()) } else { Err(Refusal::NotOwn(id.clone())) }
            }
            EndBy::Other(id) | EndBy::Bulk { by: id, .. } => {
                let ending = self.ending(Some(id.clone()), cause.clone(), context)?;
                Ok(GrantRevoked { ending, reason }.into())
            }
            EndBy::Parent(_) => {
                let ending = self.ending(None, cause.clone(), context)?;
                Ok(GrantRevoked { ending, reason }.into())
            }
            EndBy::Grant { by, grant, .. } => {
                let ending = self.ending(Some(by.clone()), cause.clone(), context)?;
                let itself = self.grant.as_ref().is_some_and(|own| own.id == *grant);
                if itself {
                    Err(Refusal::NotAnotherGrant(*grant))
                } else {
                    Ok(GrantSuperseded { ending, by_grant: *grant }.into())
                }
            }
            EndBy::Bar { by, .. } => {
                let ending = self.ending(Some(by.clone()), cause.clone(), context)?;
                Ok(GrantEligibilityWithdrawn { ending }.into())
            }
            EndBy::Target { finding } => {
                let ending = self.ending(None, cause.clone(), context)?;
                Ok(GrantExternallyModified { ending, finding: finding.clone() }.into())
            }
        }
    }

    /// Whether there is a request that is neither granted nor denied.
    fn awaits_decision(&self) -> bool {
        matches!(self.phase(), Phase::Submitted | Phase::AwaitingApprovals)
    }

    /// The circumstances of an end now.
    pub(super) fn ending(&self, actor: Option<PrincipalId>, cause: Code, context: &Context) -> Result<Ending, Refusal> {
        let grant = self.grant.as_ref().filter(|g| g.end.is_none()).ok_or_else(|| Refusal::Phase(self.phase()))?;
        let planned_end = grant.approved.approved.end();
        let others: Vec<GrantId> = context.still_justified_by.iter().copied().filter(|id| *id != grant.id).collect();
        Ok(Ending {
            planned_end,
            requested_end: context.now.min(planned_end),
            actor,
            cause,
            residual: self.residual_access(!others.is_empty()),
            still_justified_by: others,
        })
    }
}
