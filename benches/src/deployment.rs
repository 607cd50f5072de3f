//! A broker as it is deployed, over any store: a Cedar policy, a directory, an issuer of signed tokens; and the life of a case.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jit_broker::{ApprovalAct, Broker, Settings};
use jit_core::{
    Action, CaseId, ExternalId, GroupName, IdempotencyKey, Identity, Issuer, IssuerName, Justification, Principal,
    PrincipalId, Prose, Request, RetentionClass, Scope, SystemName, Timestamp, Window, code,
};
use jit_issuer::{
    jwt::{JwtIssuer, KeySchedule},
    key::LocalKey,
};
use jit_policy::cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT};
use jit_policy::{EntityDirectory, FilePath, PolicyBundle, PolicyEngine, Target};
use jit_store::{Backend, Log};

use crate::evidence_log::{CLASS, config, config_ahead};

const RULES: &str = r#"
@id("oncall-db-read")
@jit_approvals("sre:1")
@jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"database:prod");

@id("never-payroll")
forbid(principal, action, resource in Jit::Resource::"database:prod/payroll");
"#;

const DIRECTORY: &str = r#"{
  "entities": [
    {"uid":{"type":"human","id":"idp|alice"},"attrs":{},"parents":[{"type":"group","id":"oncall"}]},
    {"uid":{"type":"group","id":"oncall"},"attrs":{},"parents":[]}
  ],
  "approvers": { "sre": [{"identity":{"issuer":"idp","subject":"bob"}}] }
}"#;

const ISSUER: &str = "orders-api";

/// A broker and what cases need.
#[derive(Clone, Debug)]
pub struct Deployment {
    broker: Broker,
    alice: Principal,
    bob: Principal,
    issuer: IssuerName,
}

impl Deployment {
    /// Creates the log and publishes the policy.
    ///
    /// # Errors
    /// If the store does not take it.
    pub async fn new(backend: Arc<dyn Backend>, anchor: impl Into<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let deployment = Self::over(Log::create(backend, config(anchor)?).await?)?;
        deployment.publish_policy().await?;
        Ok(deployment)
    }

    /// Another broker over the same log, whose clock is ahead.
    ///
    /// # Errors
    /// If the log does not open.
    pub async fn beside(
        backend: Arc<dyn Backend>,
        anchor: impl Into<PathBuf>,
        ahead: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        Self::over(Log::open(backend, config_ahead(anchor, ahead)?).await?)
    }

    fn over(log: Log) -> Result<Self, Box<dyn Error>> {
        let directory = EntityDirectory::parse(SystemName::new("directory")?, DIRECTORY.as_bytes())?;
        let directory = Arc::new(directory);
        let issuer = IssuerName::new(ISSUER)?;
        let (iss, audience) = (Issuer::new("https://access.example")?, ExternalId::new("https://orders.example")?);
        let keys = KeySchedule::new(Arc::new(LocalKey::from_ed25519_seed([7; 32])))?;
        let jwt = JwtIssuer::new(issuer.clone(), iss, audience, keys);
        let broker = Broker::builder(log, directory.clone())
            .facts(directory)
            .issuer(Arc::new(jwt))
            .settings(Settings::default().mint_timeout(Duration::from_secs(30)))
            .build();
        let person = |name: &str| Ok::<_, Box<dyn Error>>(Principal::human(Identity::new("idp", name)?));
        Ok(Self { broker, alice: person("alice")?, bob: person("bob")?, issuer })
    }

    async fn publish_policy(&self) -> Result<(), Box<dyn Error>> {
        let engine = CedarEngine::new()?;
        let target =
            Target { engine: code!("cedar"), language: engine.descriptor().language.clone(), entrypoint: ENTRYPOINT };
        let schema = FilePath::new("jit.cedarschema")?;
        let files = [
            (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
            (FilePath::new("rules.cedar")?, RULES.as_bytes().to_vec()),
        ];
        let snapshot = engine.load(&PolicyBundle::new(target, Some(schema), files)?)?;
        self.broker.publish(snapshot, self.alice.id()).await?;
        Ok(())
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.broker.log()
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Whoever asks, and is told.
    #[must_use]
    pub fn requester(&self) -> PrincipalId {
        self.alice.id()
    }

    /// A case whose grant lives for an hour: submitted, decided, approved.
    ///
    /// # Errors
    /// If the broker refuses a step.
    pub async fn approved(&self, key: &str) -> Result<CaseId, Box<dyn Error + Send + Sync>> {
        self.approved_until(key, self.log().recorder().clock().now().at.saturating_add(Duration::from_secs(3600))).await
    }

    /// A case whose grant lives until then, four hours at most: submitted, decided, approved.
    ///
    /// # Errors
    /// If the broker refuses a step.
    pub async fn approved_until(&self, key: &str, end: Timestamp) -> Result<CaseId, Box<dyn Error + Send + Sync>> {
        let key = |step: &str| IdempotencyKey::new(format!("{key} {step}"));
        let window = Window::new(self.log().recorder().clock().now().at, end)?;
        let scope = Scope::new("database:prod/orders".parse()?, [Action::new("read")?])?;
        let why = Justification::new("restore order 42, INC-7")?;
        let request = Request::builder(self.alice.clone(), scope, window, why, RetentionClass::new(CLASS)?).build()?;
        let case = self.broker.submit(&key("submit")?, request).await?.case;
        let content = self.broker.case(case).await?.approval_content(&self.bob).ok_or("nothing to approve")?;
        let act = ApprovalAct {
            approver: self.bob.clone(),
            group: GroupName::new("sre")?,
            content,
            comment: Some(Prose::new("seen INC-7")?),
            authentication: None,
            signature: None,
        };
        self.broker.approve(&key("approve")?, case, act).await?;
        Ok(case)
    }

    /// One case from request to end: submitted, decided, approved, issued, given back.
    ///
    /// # Errors
    /// If the broker refuses a step.
    pub async fn lifecycle(&self, name: &str) -> Result<CaseId, Box<dyn Error + Send + Sync>> {
        let key = |step: &str| IdempotencyKey::new(format!("{name} {step}"));
        let case = self.approved(name).await?;
        let alice = self.alice.id();
        let issued = self.broker.issue(&key("issue")?, case, &alice, &self.issuer).await?;
        drop(issued);
        self.broker.terminate(&key("end")?, case, alice, None).await?;
        Ok(case)
    }
}
