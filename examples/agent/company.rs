//! What surrounds the agent: a log, a policy, a directory, an issuer of tokens, the broker over them, the desk, and the tools.

use std::{collections::BTreeMap, error::Error, path::Path, sync::Arc};

use jit_broker::Broker;
use jit_core::{
    AgentBuild, Clock as _, ExternalId, Identity, IndexKey, Issuer, IssuerName, Line, ModelName, RetentionClass,
    RetentionTerms, SystemName, TextError, Timestamp, Version, WriterId, random_bytes,
};
use jit_identity::{JwtSvids, KeySet, TokenIssuer};
use jit_issuer::{
    jwt::{JwtIssuer, KeySchedule, Profile},
    key::LocalKey,
};
use jit_log::{Origin, SignerKey};
use jit_policy::{
    EntityDirectory, FilePath, PolicyBundle, PolicyEngine as _, PolicySnapshot, ProvenanceFacts, Target,
    cedar::{CedarEngine, ENTRYPOINT},
};
use jit_store::{
    AGENT_CLASS, Ed25519Signer, FileAnchor, GOVERNANCE_CLASS, Log, LogConfig, MemoryBackend, OsEntropy, RetentionPolicy,
};

use crate::{
    clock::DrivenClock,
    desk::{Desk, Registered, person, person_id},
    issuers::TokenService,
    tools::Tools,
};

/// Who is in support, and who leads it. The lead u-3001 is also the one who asks the agent.
const DIRECTORY: &str = r#"{
  "entities": [
    {"uid": {"type": "group", "id": "support"}, "attrs": {}, "parents": []},
    {"uid": {"type": "human", "id": "https://idp.example|u-3001"}, "attrs": {}, "parents": [{"type": "group", "id": "support"}]}
  ],
  "approvers": {
    "support-leads": [
      {"identity": {"issuer": "https://idp.example", "subject": "u-3001"}},
      {"identity": {"issuer": "https://idp.example", "subject": "u-3002"}}
    ]
  }
}"#;

/// Everything around the agent.
pub(crate) struct Company {
    pub(crate) log: Log,
    pub(crate) broker: Broker,
    pub(crate) desk: Desk,
    pub(crate) tools: Tools,
    pub(crate) issuer: IssuerName,
    /// The service that says for whom the agent acts.
    pub(crate) tokens: TokenService,
    /// The server that says which workload runs where.
    pub(crate) workloads: TokenService,
}

impl Company {
    pub(crate) async fn open(out: &Path, policy: &Path, clock: &Arc<DrivenClock>) -> Result<Self, Box<dyn Error>> {
        let now = clock.now().at;
        let signer = SignerKey::from_seed(Origin::parse("jit.example/evidence/agent")?, random_bytes(&OsEntropy)?);
        let config = LogConfig::new(
            Arc::new(Ed25519Signer::new(signer)),
            Arc::new(FileAnchor::new(out.join("checkpoint"))),
            retention()?,
            IndexKey::from_bytes(random_bytes(&OsEntropy)?),
            WriterId::v7(now, random_bytes(&OsEntropy)?),
            Arc::clone(clock) as _,
        );
        // The evidence outlives this run in the bundle alone; the quickstart shows a log that stays.
        let log = Log::create(Arc::new(MemoryBackend::new()), config).await?;

        let issuer = access_tokens()?;
        let directory = Arc::new(EntityDirectory::parse(SystemName::new("directory.example")?, DIRECTORY.as_bytes())?);
        let name = IssuerName::new("payment-tokens")?;
        let published = serde_json::to_vec(&issuer.jwks(now))?;
        let broker = Broker::builder(log.clone(), Arc::clone(&directory) as _)
            .facts(directory)
            .facts(Arc::new(ProvenanceFacts::new(SystemName::new("provenance")?)))
            .issuer(Arc::new(issuer))
            .build();
        broker.publish(load(policy)?, person_id("u-9001")?).await?;

        let (tokens, workloads) = (TokenService::new("sig")?, TokenService::new("jwt-svid")?);
        let audience = || ExternalId::new("access.example");
        let transactions =
            TokenIssuer::new(Issuer::new("https://tokens.example")?, audience()?, KeySet::parse(&tokens.jwks()?)?)
                // The token service exchanges tokens of the identity provider, and names people as that does.
                .with_subjects_of(Issuer::new("https://idp.example")?)
                .with_actors_of(Issuer::new("https://agents.example")?);
        let desk = Desk {
            broker: broker.clone(),
            transactions,
            workloads: JwtSvids::new("prod.example".parse()?, audience()?, KeySet::parse(&workloads.jwks()?)?),
            inventory: inventory()?,
            retain: RetentionClass::new(AGENT_CLASS)?,
        };
        let tools = Tools {
            broker: TokenIssuer::new(
                Issuer::new("https://access.example")?,
                ExternalId::new("https://payments.example")?,
                KeySet::parse(&published)?,
            )
            .with_qualified_subjects(),
            peer: "spiffe://prod.example/agents/refund-assistant".parse()?,
        };
        Ok(Self { log, broker, desk, tools, issuer: name, tokens, workloads })
    }

    /// What the gateway hands to the agent with a message: the tokens of that moment.
    pub(crate) async fn credentials(&self, at: Timestamp) -> Result<(String, String), Box<dyn Error>> {
        let transaction = self.tokens.sign("txntoken+jwt", &crate::issuers::transaction(at)).await?;
        Ok((transaction, self.workloads.sign("JWT", &crate::issuers::svid(at)).await?))
    }
}

fn access_tokens() -> Result<JwtIssuer, Box<dyn Error>> {
    let issuer = JwtIssuer::new(
        IssuerName::new("payment-tokens")?,
        Issuer::new("https://access.example")?,
        ExternalId::new("https://payments.example")?,
        KeySchedule::new(Arc::new(LocalKey::from_ed25519_seed(random_bytes(&OsEntropy)?)))?,
    );
    Ok(issuer.with_profile(Profile::AccessToken { client: ExternalId::new("access-console")? })?)
}

/// The agents that the company runs, with who answers for them and which build was reviewed.
fn inventory() -> Result<BTreeMap<Identity, Registered>, TextError> {
    let build = AgentBuild { version: Version::new("2.3.0")?, model: ModelName::new("scripted")? };
    let assistant = Identity::new("https://agents.example", "refund-assistant")?;
    Ok([(assistant, Registered { owner: person("u-9002")?, build })].into())
}

fn load(folder: &Path) -> Result<Arc<dyn PolicySnapshot>, Box<dyn Error>> {
    let engine = CedarEngine::new()?;
    let descriptor = engine.descriptor();
    let target =
        Target { engine: descriptor.name.clone(), language: descriptor.language.clone(), entrypoint: ENTRYPOINT };
    let file =
        |name: &str| -> Result<_, Box<dyn Error>> { Ok((FilePath::new(name)?, std::fs::read(folder.join(name))?)) };
    let files = [file("schema.cedarschema")?, file("refunds.cedar")?];
    let bundle = PolicyBundle::new(target, Some(FilePath::new("schema.cedarschema")?), files)?;
    Ok(engine.load(&bundle)?)
}

fn retention() -> Result<RetentionPolicy, Box<dyn Error>> {
    let terms = |class: &str, days: u64| -> Result<RetentionTerms, TextError> {
        Ok(RetentionTerms {
            class: RetentionClass::new(class)?,
            min_s: days * 86_400,
            max_s: None,
            basis: Line::new("internal rule on AI agents")?,
            reviewer: Line::new("records board of the example, 2026")?,
        })
    };
    Ok(RetentionPolicy::new(vec![terms(GOVERNANCE_CLASS, 3650)?, terms(AGENT_CLASS, 365)?])?)
}
