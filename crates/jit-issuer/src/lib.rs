//! Credential minting that needs a recorded authorisation: capabilities, sealed secrets, revocation, reconciliation.
