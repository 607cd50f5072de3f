//! Sessions of AWS roles as credentials: `AssumeRole` of AWS STS, bound to grant, decision and evidence.
//!
//! | in the call | what |
//! |---|---|
//! | `RoleArn`, `Policy`, `PolicyArns`, `ExternalId` | the [`AssumableRole`] that the configuration gives for the grant's scope |
//! | `RoleSessionName` | [`SessionName`]: `jit-<32 hexadecimal digits>`, from the credential id |
//! | `SourceIdentity` | [`SourceIdentity`]: `grant=<grant id>`; AWS carries it on into every role that the session assumes |
//! | `Tags`, all transitive | `jit:grant`, `jit:decision`, and `jit:evidence`: the leaf of the `credential.intended` |
//! | `DurationSeconds` | what is left of the issued window, less the [allowance](AwsStsIssuer::with_allowance) |
//!
//! The secret is the JSON document that AWS tools take from an external process (`credential_process`): `Version`, `AccessKeyId`,
//! `SecretAccessKey`, `SessionToken`, `Expiration`. The session name is the serial of the descriptor.
//!
//! # Never longer than the grant
//!
//! AWS counts from its own receipt of the call, so a session that is asked for the whole window would outlive it. The issuer asks
//! for less by the allowance, 30 seconds unless configured otherwise, and no session lives for less than 900 seconds: what is left
//! of a grant must be 930 seconds or more, or the issuer refuses. If AWS answers a later end all the same, the descriptor
//! says so, and a broker takes no credential that outlives its grant.
//!
//! # Endings
//!
//! AWS cannot take one session back: the capabilities say so, and [`revoke`](jit_issuer::CredentialIssuer::revoke) answers when it dies by itself.
//! [`DenyPolicy`] is the document for whoever wants to deny earlier, and what it denies beside the session.
//!
//! # Unknown
//!
//! AWS keeps no list of sessions. A call is made once, never again by itself. If its answer does not come, nobody holds the
//! secret of a session that may exist: the mint is unknown, and stays so until the session would have died.

mod answer;
mod deny;
mod issuer;
mod names;
mod role;

pub use aws_sdk_sts;
pub use deny::DenyPolicy;
pub use issuer::{AwsStsIssuer, DEFAULT_ALLOWANCE_S, DEFAULT_MAX_TTL_S, MIN_SESSION_S};
pub use names::{NotOurs, SessionName, SourceIdentity};
pub use role::{AssumableRole, AssumableRoles, PolicyArn, RoleArn, RoleError, RoleExternalId, SessionPolicy};
