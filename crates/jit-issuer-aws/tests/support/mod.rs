//! What the tests share: an issuer that calls a server on this machine, and a case that it can serve.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test programs, which may panic"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_http_client::Builder;
use jit_core::{Action, IssuerName, Scope, Timestamp, Window};
use jit_issuer_aws::{
    AssumableRole, AssumableRoles, AwsStsIssuer, RoleArn, RoleExternalId, SessionPolicy,
    aws_sdk_sts::{
        Client, Config,
        config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider},
    },
};
use jit_testkit::CaseSetup;

pub const ROLE: &str = "arn:aws:iam::123456789012:role/orders-reader";
pub const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;

/// A client that signs with these credentials.
pub fn client(address: &str, credentials: Option<Credentials>) -> Client {
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"));
    config.set_credentials_provider(credentials.map(SharedCredentialsProvider::new));
    Client::from_conf(config.build())
}

pub fn broker_credentials() -> Credentials {
    Credentials::new("AKIAEXAMPLE", "broker-secret", None, None, "test")
}

/// The scope that cases ask for by default.
pub fn scope() -> Scope {
    Scope::new("database:prod/orders".parse().unwrap(), [Action::new("read").unwrap()]).unwrap()
}

pub fn issuer(client: Client) -> AwsStsIssuer {
    let role = AssumableRole::new(RoleArn::new(ROLE).unwrap())
        .with_policy(SessionPolicy::new(POLICY).unwrap())
        .with_external_id(RoleExternalId::new("customer-7").unwrap());
    AwsStsIssuer::new(IssuerName::new("aws-prod").unwrap(), client, AssumableRoles::new().with(scope(), role))
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

/// A grant that begins now, by the clock of the machine: the other side has no other.
pub fn setup(seed: u64, seconds: u64) -> CaseSetup {
    let start = now();
    let window = Window::new(start, start.saturating_add(Duration::from_secs(seconds))).unwrap();
    CaseSetup { seed, window, ..CaseSetup::default() }
}
