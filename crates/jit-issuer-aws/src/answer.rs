//! What STS answered, and what that means: a session, a refusal, or nobody knows.

use aws_sdk_sts::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::assume_role::{AssumeRoleError, AssumeRoleOutput},
    primitives::DateTime,
};
use jit_core::{Code, Timestamp, code};
use jit_issuer::MintError;
use zeroize::{Zeroize as _, Zeroizing};

use crate::names::SessionName;

/// The longest error code of STS that is put on record.
const MAX_CODE: usize = 48;

/// A session that exists.
pub(crate) struct Session {
    /// The document that its holder gets.
    pub(crate) document: Zeroizing<Vec<u8>>,
    /// When it dies.
    pub(crate) expires: Timestamp,
}

impl Session {
    /// Reads an answer. One that is not what was asked for leaves open what exists.
    pub(crate) fn read(answer: AssumeRoleOutput, name: SessionName) -> Result<Self, MintError> {
        let unknown = |cause| MintError::Unknown { cause };
        let as_asked = answer.assumed_role_user().is_none_or(|user| SessionName::in_arn(user.arn()) == Ok(name));
        let mut credentials = answer.credentials.ok_or(unknown(code!("answer_without_credentials")))?;
        let expires = timestamp(&credentials.expiration);
        // The longest part of the document by far; the rest has less than this.
        let room = 512_usize.saturating_add(credentials.session_token.len());
        let mut document = Zeroizing::new(Vec::with_capacity(room));
        let written = expires.map(|expires| {
            let parts = [
                (r#"{"Version":1,"AccessKeyId":""#, credentials.access_key_id.as_str()),
                (r#"","SecretAccessKey":""#, &credentials.secret_access_key),
                (r#"","SessionToken":""#, &credentials.session_token),
                (r#"","Expiration":""#, &expires.to_string()),
            ];
            for (before, value) in parts {
                document.extend_from_slice(before.as_bytes());
                document.extend_from_slice(value.as_bytes());
            }
            document.extend_from_slice(br#""}"#);
            parts.iter().all(|(_, value)| is_plain(value))
        });
        credentials.secret_access_key.zeroize();
        credentials.session_token.zeroize();
        match (expires, written) {
            _ if !as_asked => Err(unknown(code!("answer_for_another_session"))),
            (Some(expires), Some(true)) => Ok(Self { document, expires }),
            _ => Err(unknown(code!("answer_malformed"))),
        }
    }
}

/// Whether a text needs no escape in JSON, as nothing does that STS gives. To read the document again would leave copies of the secret.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// To the microsecond, later rather than earlier.
fn timestamp(at: &DateTime) -> Option<Timestamp> {
    let micros = i64::from(at.subsec_nanos()).saturating_add(999) / 1000;
    Timestamp::from_micros(at.secs().checked_mul(1_000_000)?.checked_add(micros)?).ok()
}

/// What a call without a session means. `sent` says whether it left this process.
pub(crate) fn failure(error: &SdkError<AssumeRoleError, HttpResponse>, sent: bool) -> MintError {
    match error {
        // A refusal of the service (4xx) is an answer: it did nothing, also where it was asked too often.
        SdkError::ServiceError(answer) if answer.raw().status().is_client_error() => {
            MintError::Failed { cause: refusal(answer.err().code()) }
        }
        // What cannot be read counts as an error of the service.
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
            MintError::Unknown { cause: code!("answer_malformed") }
        }
        SdkError::ServiceError(_) => MintError::Unknown { cause: code!("service_failed") },
        SdkError::ConstructionFailure(_) => MintError::Failed { cause: code!("call_not_made") },
        _ if !sent => MintError::Failed { cause: code!("call_not_signed") },
        SdkError::TimeoutError(_) => MintError::Unknown { cause: code!("timed_out") },
        SdkError::ResponseError(_) => MintError::Unknown { cause: code!("answer_malformed") },
        _ => MintError::Unknown { cause: code!("answer_lost") },
    }
}

/// `AccessDenied` is recorded as `aws_access_denied`. The message that comes with it names accounts and roles, and is not.
fn refusal(aws: Option<&str>) -> Code {
    let mut text = String::from("aws");
    let mut before = '_';
    for c in aws.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(MAX_CODE) {
        if c.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
        before = c;
    }
    Code::new(text).unwrap_or(code!("aws_refused"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_aws_become_ours() {
        for (aws, ours) in [
            (Some("AccessDenied"), "aws_access_denied"),
            (Some("Throttling"), "aws_throttling"),
            (Some("MalformedPolicyDocument"), "aws_malformed_policy_document"),
            (Some("IDPCommunicationError"), "aws_idpcommunication_error"),
            (Some("<script>\n"), "awsscript"),
            (None, "aws"),
        ] {
            assert_eq!(refusal(aws).as_str(), ours);
        }
        assert!(refusal(Some(&"Ab".repeat(1000))).as_str().len() < 128);
    }

    #[test]
    fn an_end_is_never_read_earlier_than_it_is() {
        let end = DateTime::from_secs_and_nanos(1_772_000_000, 1);
        assert_eq!(timestamp(&end).map(Timestamp::as_micros), Some(1_772_000_000_000_001));
        assert_eq!(timestamp(&DateTime::from_secs(i64::MAX)), None);
    }
}
