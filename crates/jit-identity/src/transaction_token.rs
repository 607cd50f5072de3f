//! Transaction tokens (draft-ietf-oauth-transaction-tokens): one transaction through a chain of workloads.

use jit_core::{ExternalId, ExternalRef, Line, PrincipalId, Timestamp, TransactionFacts, code};

use crate::{
    error::TokenError,
    issuer::{Profile, TokenIssuer},
    json::Json,
    token::Typ,
    verified::Verified,
    workload_token::reference,
};

/// A transaction: for whom, what for, and which workload began it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionToken {
    /// For whom.
    pub subject: PrincipalId,
    /// The transaction, the same in every token of it (`txn`, RFC 8417 section 2.2).
    pub txn: ExternalId,
    /// What it is for: `scope`, or `purp` as older drafts call it.
    pub scope: Line,
    /// The workload that asked for the token (`req_wl`).
    pub requested_by: ExternalId,
    /// The transaction, for the request to keep, so that it is found by it.
    pub reference: ExternalRef,
}

impl TokenIssuer {
    /// Verifies a transaction token of type `txntoken+jwt`; the audience is the trust domain. Its `iss` may be absent. `tctx` and
    /// `rctx` are personal: they stay in the claims. Who acts for its subject is in [`Verified::on_behalf_of`].
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn transaction_token(&self, token: &str, now: Timestamp) -> Result<Verified<TransactionToken>, TokenError> {
        let profile = Profile {
            kind: code!("transaction_token"),
            typ: Typ::Named("txntoken+jwt"),
            anonymous: true,
            actors: true,
        };
        let admitted = self.admit(profile, token, now)?;
        let claims = admitted.claims();
        for name in ["tctx", "rctx"] {
            if claims.get(name).is_some_and(|context| !matches!(context, Json::Object(_))) {
                return Err(TokenError::Claim(name));
            }
        }
        let scope = match claims.parsed("scope")? {
            Some(scope) => scope,
            None => claims.parsed("purp")?.ok_or(TokenError::Missing("scope"))?,
        };
        let content = TransactionToken {
            subject: admitted.subject.clone(),
            txn: claims.required_as("txn")?,
            scope,
            requested_by: claims.required_as("req_wl")?,
            reference: reference("txn", claims.required("txn")?, "txn")?,
        };
        let facts = TransactionFacts {
            txn: content.txn.clone(),
            scope: content.scope.clone(),
            workload: Some(content.requested_by.clone()),
        };
        admitted.verified(content, Some(facts))
    }
}
