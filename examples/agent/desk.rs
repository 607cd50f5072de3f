//! The desk: where an agent's request comes in with its tokens. What the tokens prove is believed; the rest is marked as the agent's own
//! words; what is not genuine is refused and recorded.

use std::collections::BTreeMap;

use jit_broker::{Broker, BrokerError, Submitted};
use jit_core::{
    Absence, AbsenceKind, AgentBuild, AgentStatement, ExternalId, IdempotencyKey, Identity, InitiatingEvent,
    Justification, MaybeStated, Principal, PrincipalId, ProvenanceError, Request, RequestError, RetentionClass, Scope,
    Stated, SystemName, TextError, Timestamp, ToolCall, Window, code,
};
use jit_identity::{JwtSvids, NoIdentity, TokenError, TokenIssuer};

/// What an agent hands in: two tokens, and its own words.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) transaction: String,
    pub(crate) svid: String,
    pub(crate) event: InitiatingEvent,
    pub(crate) task: ExternalId,
    pub(crate) call: ToolCall,
    pub(crate) scope: Scope,
    pub(crate) window: Window,
    pub(crate) why: Justification,
}

/// What the company knows of an agent.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) owner: Identity,
    pub(crate) build: AgentBuild,
}

/// Why nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    #[error("{0}")]
    Token(TokenError),
    #[error("the token names nobody that the agent acts for")]
    NobodyActedFor,
    #[error("agent {0} is not registered")]
    NotRegistered(Identity),
    #[error(transparent)]
    Presenter(#[from] NoIdentity),
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
    #[error(transparent)]
    Delegation(#[from] jit_core::DelegationError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Where requests of agents come in.
pub(crate) struct Desk {
    pub(crate) broker: Broker,
    pub(crate) transactions: TokenIssuer,
    pub(crate) workloads: JwtSvids,
    pub(crate) inventory: BTreeMap<Identity, Registered>,
    pub(crate) retain: RetentionClass,
}

impl Desk {
    /// Submits the request of an agent. A token that does not verify leaves `request.refused` with its code, and nothing else.
    pub(crate) async fn submit(
        &self,
        key: &IdempotencyKey,
        asked: Asked,
        now: Timestamp,
    ) -> Result<(Principal, Submitted), DeskError> {
        match self.request(asked, now) {
            Ok(request) => {
                let requester = request.requester().clone();
                Ok((requester, self.broker.submit(key, request).await?))
            }
            Err(DeskError::Token(error)) => {
                // Nobody was authenticated: the record names nobody.
                self.broker.refuse(None, error.code(), self.retain.clone()).await?;
                Err(DeskError::Token(error))
            }
            Err(other) => Err(other),
        }
    }

    fn request(&self, asked: Asked, now: Timestamp) -> Result<Request, DeskError> {
        let transaction = self.transactions.transaction_token(&asked.transaction, now).map_err(DeskError::Token)?;
        let workload = self.workloads.verify(&asked.svid, now).map_err(DeskError::Token)?;
        let identity = transaction.presenter()?;
        let mode = transaction.on_behalf_of()?.ok_or(DeskError::NobodyActedFor)?;
        let registered = self.inventory.get(&identity.value);
        let registered = registered.ok_or_else(|| DeskError::NotRegistered(identity.value.clone()))?;
        let inventory = || SystemName::new("agent-inventory");
        let statement = AgentStatement {
            identity,
            mode,
            owner: Stated::by_registry(registered.owner.clone(), inventory()?),
            build: Stated::by_registry(registered.build.clone(), inventory()?),
            initiating_event: Stated::by_requester(asked.event),
            task: Stated::by_requester(asked.task),
            workload: workload.stated(|svid| svid.spiffe_id.clone()),
            instance: MaybeStated::Absent(Absence { kind: AbsenceKind::NotAvailable, reason: code!("not_reported") }),
            tool_call: MaybeStated::Stated(Stated::by_requester(asked.call)),
        };
        let (agent, provenance) = statement.into_agent(vec![transaction.facts().clone(), workload.facts().clone()])?;
        Ok(Request::builder(agent, asked.scope, asked.window, asked.why, self.retain.clone())
            // Everything of one transaction is found by its id, here and in the systems that passed the token on.
            .external(transaction.content().reference.clone())
            .provenance(provenance)
            .claims([transaction.token().clone(), workload.token().clone()])
            .build()?)
    }
}

/// The identity of a person at the company's identity provider.
pub(crate) fn person(subject: &str) -> Result<Identity, TextError> {
    Identity::new("https://idp.example", subject)
}

/// The same, as the one who acts.
pub(crate) fn person_id(subject: &str) -> Result<PrincipalId, TextError> {
    person(subject).map(PrincipalId::Identity)
}
