//! The lifecycle: submit, approve, issue, end, expire, revoke, reconcile.
