//! Who asserted what of an agent (INV-16): a token vouches for exactly the chain it names, and a record that says otherwise is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod world;

use jit_core::*;
use proptest::{collection::vec, prelude::*};
use world::{World, at, forge::Forgery, retain, scope, word};

fn identity(name: &str) -> Identity {
    Identity::new("idp.example", name).unwrap()
}

fn id(n: u8) -> PrincipalId {
    PrincipalId::Identity(identity(&format!("p-{n}")))
}

fn digest(n: u8) -> ExternalDigest {
    ExternalDigest::from_bytes([n; 32])
}

/// The facts of a token in which the first of a chain acts through the others down to the last, who presents it.
fn token(n: u8, chain: &[PrincipalId]) -> TokenFacts {
    TokenFacts {
        kind: word("transaction_token"),
        issuer: Issuer::new("https://tokens.example").unwrap(),
        digest: digest(n),
        id: ExternalId::new("t-1").ok(),
        algorithm: word("es256"),
        key: ExternalId::new("k-1").ok(),
        subject: chain[0].clone(),
        actors: chain[1..].iter().rev().cloned().collect(),
        issued: Some(at(0)),
        expires: at(300),
        transaction: None,
    }
}

/// What the last of a chain says of itself, with who it is and for whom it acts asserted by token 1.
fn statement(chain: &[PrincipalId]) -> AgentStatement {
    let Some(PrincipalId::Identity(own)) = chain.last().cloned() else { panic!() };
    let through = chain[1..chain.len() - 1].to_vec();
    let by = AssertedBy::Token(digest(1));
    let mode = AgentMode::OnBehalfOf(Delegation::new(chain[0].clone(), through).unwrap());
    let absent = Absence { kind: AbsenceKind::NotAvailable, reason: word("not_told") };
    AgentStatement {
        identity: Stated { value: own, by: by.clone() },
        mode: Stated { value: mode, by },
        owner: Stated::by_registry(identity("owner"), SystemName::new("inventory").unwrap()),
        build: Stated::by_requester(AgentBuild {
            version: Version::new("1").unwrap(),
            model: ModelName::new("model").unwrap(),
        }),
        initiating_event: Stated::by_requester(InitiatingEvent {
            kind: word("chat_message"),
            source: SystemName::new("chat").unwrap(),
            id: ExternalId::new("m-1").unwrap(),
            at: at(0),
            digest: digest(9),
        }),
        task: Stated::by_requester(ExternalId::new("TASK-1").unwrap()),
        workload: Stated::by_requester("spiffe://example.org/agent".parse().unwrap()),
        instance: MaybeStated::Absent(absent.clone()),
        tool_call: MaybeStated::Absent(absent),
    }
}

fn request(agent: Principal, provenance: Provenance) -> Result<Request, RequestError> {
    let why = Justification::new("INC-7").unwrap();
    Request::builder(agent, scope("database:prod", &["read"]), world::window(0, 600), why, retain())
        .provenance(provenance)
        .build()
}

/// A chain of distinct principals, in random order.
fn chain() -> impl Strategy<Value = Vec<PrincipalId>> {
    (2..=MAX_CHAIN, any::<u64>()).prop_perturb(|(length, _), mut rng| {
        let mut all: Vec<u8> = (0..40).collect();
        for i in (1..all.len()).rev() {
            all.swap(i, usize::try_from(rng.next_u32()).unwrap() % (i + 1));
        }
        all.into_iter().take(length).map(id).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(16),
        ..ProptestConfig::with_cases(128)
    })]

    #[test]
    fn a_token_vouches_for_the_chain_it_names_and_for_no_other(own in chain(), other in chain()) {
        let (agent, provenance) = statement(&own).into_agent(vec![token(1, &own)]).unwrap();
        prop_assert!(provenance.is_verified(Aspect::Principal) && !provenance.is_verified(Aspect::Task));
        request(agent.clone(), provenance.clone()).unwrap();

        let of_other = statement(&own).into_agent(vec![token(1, &other)]);
        let same = own == other;
        prop_assert_eq!(of_other.is_ok(), same);
        // One actor left out, or two in another order, is another chain.
        let mut shorter = own.clone();
        shorter.remove(own.len() / 2);
        prop_assert!(statement(&own).into_agent(vec![token(1, &shorter)]).is_err());
        let mut swapped = own.clone();
        swapped.swap(0, own.len() / 2);
        prop_assert_eq!(
            statement(&own).into_agent(vec![token(1, &swapped)]).is_ok(),
            swapped == own
        );
        // A token that is not there vouches for nothing, nor does the provenance of one agent for another.
        let missing = ProvenanceError::UnknownToken { aspect: Aspect::Requester, token: digest(1) };
        prop_assert_eq!(statement(&own).into_agent(vec![token(2, &own)]).unwrap_err(), missing);
        if !same {
            let (another, _) = statement(&other).into_agent(vec![token(1, &other)]).unwrap();
            prop_assert!(matches!(request(another, provenance), Err(RequestError::Provenance(_))));
        }
    }

    #[test]
    fn what_a_record_says_beyond_its_tokens_is_found(own in chain(), drop in any::<prop::sample::Index>()) {
        let (agent, provenance) = statement(&own).into_agent(vec![token(1, &own)]).unwrap();
        let mut world = World::new();
        let case = world.open_case();
        world.act(case, &Command::Submit(request(agent, provenance).unwrap())).unwrap();
        let stream = world.cases[case].stream();
        prop_assert_eq!(world.findings(world.now()), vec![]);

        let mut forgery = Forgery::of(&world.records);
        let Event::RequestSubmitted(submitted) = &mut forgery.get(stream, &Kind::RequestSubmitted, 0).event else { panic!() };
        let mut chain = own.clone();
        chain.remove(drop.index(chain.len()));
        let tokens = canonical::to_value(&[token(1, &chain)]).unwrap();
        let mut forged = canonical::to_value(&submitted.provenance).unwrap().as_object().unwrap().clone();
        forged.remove("tokens").unwrap();
        forged.insert("tokens", tokens).unwrap();
        submitted.provenance = Some(canonical::from_value(&canonical::Value::Object(forged)).unwrap());
        let findings = world::findings(&forgery.seal(), world.now());
        prop_assert!(findings.iter().any(|f| f.is_violated() && f.invariant == InvariantId::Inv16), "{:#?}", findings);
    }

    #[test]
    fn an_agent_stands_in_its_own_chain_once(names in vec(0u8..6, 2..6)) {
        let chain: Vec<PrincipalId> = names.iter().copied().map(id).collect();
        let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
        let Some(PrincipalId::Identity(own)) = chain.last().cloned() else { panic!() };
        let delegation = Delegation::new(chain[0].clone(), chain[1..chain.len() - 1].to_vec());
        let agent = delegation.and_then(|delegation| {
            let AgentStatement { owner, build, initiating_event, task, workload, .. } = statement(&[id(7), id(8)]);
            let mode = AgentMode::OnBehalfOf(delegation);
            Agent::new(own, owner.value, build.value, mode, initiating_event.value, task.value, workload.value)
        });
        prop_assert_eq!(agent.is_ok(), distinct);
    }
}

#[test]
fn every_aspect_is_stated_or_absent_for_a_reason() {
    let chain = [id(1), id(2)];
    let (agent, provenance) = statement(&chain).into_agent(vec![token(1, &chain)]).unwrap();
    let value = canonical::to_value(&provenance).unwrap();
    let asserted = value.as_object().unwrap().get("asserted").unwrap().as_object().unwrap();
    assert_eq!(asserted.len(), Aspect::OF_AGENTS.len());
    let instance = asserted.get("instance").unwrap().to_bytes().unwrap();
    assert_eq!(instance, br#"{"$absent":"not_available","reason":"not_told"}"#);
    assert_eq!(asserted.get("owner").unwrap().to_bytes().unwrap(), br#"{"by":{"registry":"inventory"}}"#);

    for aspect in Aspect::OF_AGENTS {
        let name = canonical::to_value(&aspect).unwrap();
        let mut forged = value.as_object().unwrap().clone();
        let mut fewer = asserted.clone();
        fewer.remove(name.as_str().unwrap()).unwrap();
        forged.remove("asserted").unwrap();
        forged.insert("asserted", canonical::Value::Object(fewer)).unwrap();
        let forged: Provenance = canonical::from_value(&canonical::Value::Object(forged)).unwrap();
        assert_eq!(forged.check(&agent), Err(ProvenanceError::Unsaid(aspect)));
    }
    let of_a_person = Provenance::of_requester(&world::person("alice"), AssertedBy::Broker, Vec::new()).unwrap();
    assert_eq!(of_a_person.check(&agent), Err(ProvenanceError::Unsaid(Aspect::Principal)));
    assert!(provenance.check(&world::person("alice")).is_err());
}

#[test]
fn claims_are_those_of_a_token_that_is_named_and_can_be_erased() {
    let chain = [id(1), id(2)];
    let facts = token(1, &chain);
    let claims = canonical::Text::new(r#"{"sub":"p-1","rctx":{"req_ip":"192.0.2.7"}}"#).unwrap();
    let (agent, provenance) = statement(&chain).into_agent(vec![facts.clone()]).unwrap();
    let build = |token: TokenFacts| {
        let why = Justification::new("INC-7").unwrap();
        Request::builder(agent.clone(), scope("database:prod", &["read"]), world::window(0, 600), why, retain())
            .provenance(provenance.clone())
            .claims([VerifiedToken { facts: token, claims: claims.clone() }])
            .build()
    };
    let stray = RequestError::Provenance(ProvenanceError::StrayClaims(digest(2)));
    assert_eq!(build(token(2, &chain)).unwrap_err(), stray);

    let mut world = World::new();
    let case = world.open_case();
    world.act(case, &Command::Submit(build(facts).unwrap())).unwrap();
    let record = world.records.last().unwrap();
    let Ok(Event::RequestSubmitted(submitted)) = record.event() else { panic!() };
    assert_eq!(submitted.claims.unwrap()[0].claims, claims);
    let erased = world::forge::without(record, &["claims", "justification"]);
    let Ok(Event::RequestSubmitted(left)) = erased.event() else { panic!() };
    assert_eq!((left.claims, left.provenance), (None, submitted.provenance));
    assert!(!String::from_utf8(erased.payload_bytes().unwrap().to_vec()).unwrap().contains("192.0.2.7"));
}
