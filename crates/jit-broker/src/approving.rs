//! Approving: one request, or a list that was shown as one; and what an approver may do besides: narrow, take back, deny.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jit_core::{
    ApprovalContent, ApprovalList, ApprovalListError, ApprovalSignature, Approve, Case, CaseId, Command, Event,
    GroupName, IdempotencyKey, Line, Narrow, Phase, Principal, PrincipalId, Prose, Refusal, Scope, StepOrigin, Window,
    code,
};
use jit_policy::FactError;

use crate::{acting::first_effect, broker::Broker, error::BrokerError, turn::NotTaken};

/// An approver's act.
#[derive(Debug, Clone)]
pub struct ApprovalAct {
    /// Who approves, as the caller has authenticated them.
    pub approver: Principal,
    /// For which group of the quorum.
    pub group: GroupName,
    /// What the approver was shown: [`Broker::approval_content`].
    pub content: ApprovalContent,
    /// What the approver said.
    pub comment: Option<Prose>,
    /// How the approver was authenticated.
    pub authentication: Option<Line>,
    /// The approver's signature over the content.
    pub signature: Option<ApprovalSignature>,
}

/// One entry of a list that was shown to an approver.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The case.
    pub case: CaseId,
    /// For which group of its quorum.
    pub group: GroupName,
    /// What was shown of it: [`Broker::approval_content`].
    pub content: ApprovalContent,
}

/// An approver's act on a whole list.
#[derive(Debug, Clone)]
pub struct ListApproval {
    /// Who approves, as the caller has authenticated them.
    pub approver: Principal,
    /// The list, in the order shown.
    pub shown: Vec<Listed>,
    /// What the approver said, about each of them.
    pub comment: Option<Prose>,
    /// How the approver was authenticated.
    pub authentication: Option<Line>,
    /// The approver's signature over [`ApprovalList::to_bytes`].
    pub signature: Option<ApprovalSignature>,
}

/// What came of one entry of a list: where its case stands now, or why it was not approved.
pub type ListAnswer = (CaseId, Result<Phase, BrokerError>);

/// Whose keys sign approvals.
#[async_trait]
pub trait ApproverKeys: Send + Sync + 'static {
    /// The Ed25519 public keys with which this person signs approvals now. Cancellation-safe: it only reads.
    ///
    /// # Errors
    /// [`FactError`] if that cannot be said; nothing they signed is taken then.
    async fn keys_of(&self, approver: &PrincipalId) -> Result<Vec<[u8; 32]>, FactError>;
}

/// Knows no keys, so that nothing that claims to be signed with one is taken.
pub(crate) struct NoKeys;

#[async_trait]
impl ApproverKeys for NoKeys {
    async fn keys_of(&self, _: &PrincipalId) -> Result<Vec<[u8; 32]>, FactError> {
        Ok(Vec::new())
    }
}

impl Broker {
    /// Records an approval of exactly what the approver was shown, and the grant or its extension once the quorum is met. Before
    /// the last approval the policy of today is asked again; where [`Settings::judged_by_policy`](crate::Settings) says so, it is
    /// asked about each approver too.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the approver may not approve, what they were shown is not what is asked now, or the policy no
    /// longer permits it (all recorded), or whatever kept the approval from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn approve(&self, key: &IdempotencyKey, case: CaseId, act: ApprovalAct) -> Result<Phase, BrokerError> {
        self.approve_shown(key, case, act, None).await
    }

    /// Records an approval for each entry of a list that was shown and approved in one act. Each is bound to the whole list, and
    /// stands or falls by itself: the answers are in the order shown.
    ///
    /// # Errors
    /// [`ApprovalListError`] if what was shown makes no list. Nothing is recorded then.
    #[tracing::instrument(skip_all)]
    pub async fn approve_list(
        &self,
        key: &IdempotencyKey,
        act: ListApproval,
    ) -> Result<Vec<ListAnswer>, ApprovalListError> {
        let ListApproval { approver, shown, comment, authentication, signature } = act;
        let list = ApprovalList::of(shown.iter().map(|listed| &listed.content))?;
        let mut answers = Vec::with_capacity(shown.len());
        for Listed { case, group, content } in shown {
            let act = ApprovalAct {
                approver: approver.clone(),
                group,
                content,
                comment: comment.clone(),
                authentication: authentication.clone(),
                signature: signature.clone(),
            };
            answers.push((case, self.approve_shown(key, case, act, Some(&list)).await));
        }
        Ok(answers)
    }

    async fn approve_shown(
        &self,
        key: &IdempotencyKey,
        id: CaseId,
        act: ApprovalAct,
        list: Option<&ApprovalList>,
    ) -> Result<Phase, BrokerError> {
        let ApprovalAct { approver, group, content, comment, authentication, signature } = act;
        let by = approver.id();
        let member_of = self.groups_of(&by).await?;
        let command = self.index_key.command_in(id, &by, key);
        let list = list.cloned();
        let approve = Approve { approver, group, member_of, content, comment, authentication, signature, list };
        let repeats = |event: &Event| {
            matches!(event, Event::ApprovalRecorded(e)
                if e.group.as_ref() == Some(&approve.group) && e.request == approve.content.request)
        };
        let proven = self.prove(&by, approve.signature.as_ref()).await?;
        loop {
            let case = self.load_existing(id).await?;
            if first_effect(&case, command, repeats)? {
                return Ok(case.phase());
            }
            let retain = case.retain().cloned().ok_or(BrokerError::NoSuchCase(id))?;
            let mut commands = match &proven {
                Ok(()) => self.before_approval(&case, &approve).await?,
                Err(refusal) => {
                    vec![Command::Refuse { by: by.clone(), act: code!("approve"), refusal: refusal.clone() }]
                }
            };
            commands.push(Command::Approve(approve.clone()));
            match self.try_turn(case, &commands, &StepOrigin::command(command, retain), Vec::new()).await {
                Ok(turn) => {
                    let turn = turn.accepted()?;
                    self.after_extension(&turn).await;
                    return Ok(turn.case.phase());
                }
                // Each conflict means that somebody else got further, so this ends when they are done.
                Err(NotTaken::Conflict) => {}
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
    }

    /// What the policy says before an approval is taken: about the approver, and before the last one about what is asked. What would
    /// be refused anyway is refused without asking.
    async fn before_approval(&self, case: &Case, approve: &Approve) -> Result<Vec<Command>, BrokerError> {
        let now = self.clock.now().at;
        let by_policy = self.settings.judged_by_policy;
        let (Ok(completes), Some(request)) = (case.may_approve(approve, now, by_policy), case.asked_request()) else {
            return Ok(Vec::new());
        };
        let mut commands = Vec::new();
        if by_policy {
            let evaluated = self.evaluate_approver(&request, &approve.approver, &approve.group, now).await?;
            commands.push(Command::JudgeApprover { by: approve.approver.id(), evaluated });
        }
        if completes {
            let evaluated = self.evaluate(&request, jit_core::EvaluationPurpose::Confirmation, now).await?;
            commands.push(Command::Confirm(evaluated));
        }
        Ok(commands)
    }

    /// Whether a signature that can be verified here is by a key of the approver's. That it is over what was approved is the case's
    /// to say.
    async fn prove(
        &self,
        by: &PrincipalId,
        signature: Option<&ApprovalSignature>,
    ) -> Result<Result<(), Refusal>, BrokerError> {
        let Some(key) = signature.filter(|s| s.scheme == code!("ed25519")).map(|s| &s.key) else {
            let missing = self.settings.approvals_signed;
            return Ok(if missing { Err(Refusal::SignatureMissing) } else { Ok(()) });
        };
        let known = self.keys.keys_of(by).await.map_err(|error| BrokerError::Policy(error.to_string()))?;
        let own = known.iter().any(|known| ApprovalSignature::names_key(key, known));
        Ok(if own { Ok(()) } else { Err(Refusal::Signature) })
    }

    /// Leaves less of a request than was asked for: less scope, a shorter window. Whoever has approved is asked again (INV-08), the
    /// approver who narrowed it too.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the approver may not approve, or that is not less (recorded as `command.refused`), or whatever
    /// kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn narrow(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        approver: Principal,
        group: GroupName,
        scope: Scope,
        window: Window,
    ) -> Result<Phase, BrokerError> {
        let by = approver.id();
        let member_of = self.groups_of(&by).await?;
        let repeats =
            |event: &Event| matches!(event, Event::ApprovalNarrowed(e) if e.scope == scope && e.approved == window);
        let narrow = Narrow { approver, group, member_of, scope: scope.clone(), window };
        self.act(key, case, &by, &Command::Narrow(narrow), repeats).await
    }

    /// Takes an own approval back while what it is for is undecided.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if there is none that counts (recorded as `command.refused`), or whatever kept it from being
    /// recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn withdraw_approval(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: PrincipalId,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let command = Command::WithdrawApproval { by: by.clone(), reason };
        self.act(key, case, &by, &command, |event| matches!(event, Event::ApprovalWithdrawn(_))).await
    }

    /// Denies the request or the extension that people are asked about, as a member of a group of the quorum.
    ///
    /// Dropping the future leaves either nothing or the whole.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] if the denier may not (recorded as `command.refused`), or whatever kept it from being recorded.
    #[tracing::instrument(skip_all, err, fields(case = %case))]
    pub async fn deny(
        &self,
        key: &IdempotencyKey,
        case: CaseId,
        by: Principal,
        group: GroupName,
        reason: Option<Prose>,
    ) -> Result<Phase, BrokerError> {
        let id = by.id();
        let member_of = self.groups_of(&id).await?;
        let command = Command::Deny { by, group, member_of, reason };
        let repeats = |event: &Event| matches!(event, Event::GrantDenied(_) | Event::ExtensionFailed(_));
        self.act(key, case, &id, &command, repeats).await
    }

    pub(crate) async fn groups_of(&self, by: &PrincipalId) -> Result<BTreeSet<GroupName>, BrokerError> {
        self.eligibility.groups_of(by).await.map_err(|error| BrokerError::Policy(error.to_string()))
    }
}
