//! What is given to Cedar as it is, and what Cedar reads from JSON, is the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::sync::LazyLock;

use jit_core::{EvaluationPurpose, GroupName, SystemName, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{
    cedar::BASE_SCHEMA,
    entity::Attributes,
    facts::Fact,
    input::{InputContext, InputParts, InputSchema, Judging},
};

/// A type of each kind, among them those that JSON cannot say.
const TYPES: &str = "b?: Bool, l?: Long, s?: String, ss?: Set<String>, sl?: Set<Long>, r?: { s: String, l?: Long }, \
     e?: Group, se?: Set<Group>, ip?: ipaddr, dt?: datetime, du?: duration, de?: decimal, sip?: Set<ipaddr>";

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let schema = BASE_SCHEMA
        .replace("entity Group in [Group];", &format!("entity Group in [Group] {{ {TYPES} }};"))
        .replace("    recipient: Identity,\n", &format!("    recipient: Identity,\n    facts?: {{ {TYPES} }},\n"));
    Vocabulary::of(Schema::from_cedarschema_str(&schema).unwrap().0).unwrap()
});

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("10.0.0.1"),
        Just("10.0.0.0/8"),
        Just("2026-11-23"),
        Just("1h30m"),
        Just("1.5"),
        Just("sre"),
        Just("")
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<u32>().prop_map(Value::from),
        text.prop_map(|text| Value::text(text).unwrap()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = prop_oneof![
            Just("s"),
            Just("l"),
            Just("type"),
            Just("id"),
            Just("fn"),
            Just("arg"),
            Just("__entity"),
            Just("__extn")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::btree_map(name, inner, 0..3).prop_map(|members| Value::Object(object(members))),
        ]
    })
}

/// A value that an attribute of this type could be meant to have, or any other.
fn member() -> impl Strategy<Value = (&'static str, Value)> {
    let parse = |json: &str| Value::parse(json.as_bytes()).unwrap();
    let meant = [
        ("b", "true"),
        ("l", "7"),
        ("s", r#""a""#),
        ("ss", r#"["a","b"]"#),
        ("ss", "[]"),
        ("sl", "[1,2]"),
        ("r", r#"{"s":"a","l":1}"#),
        ("r", r#"{"s":"a"}"#),
        ("e", r#"{"type":"Jit::Group","id":"g"}"#),
        ("se", r#"[{"type":"Jit::Group","id":"g"}]"#),
        ("se", "[]"),
        ("ip", r#""10.0.0.1""#),
        ("dt", r#""2026-11-23""#),
        ("du", r#""1h30m""#),
        ("de", r#""1.5""#),
        ("sip", r#"["10.0.0.0/8"]"#),
        ("ip", r#"{"fn":"ip","arg":"10.0.0.1"}"#),
    ];
    let meant = meant.map(|(name, json)| (name, parse(json)));
    let names = ["b", "l", "s", "ss", "sl", "r", "e", "se", "ip", "dt", "du", "de", "sip", "other", "__entity"];
    prop_oneof![
        4 => proptest::sample::select(meant.to_vec()),
        1 => (proptest::sample::select(names.to_vec()), value()),
    ]
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Object {
    let mut object = Object::new();
    for (name, value) in members {
        object.insert(name, value).unwrap();
    }
    object
}

fn input(attrs: Object, facts: Object, judging: bool, strange: bool) -> CanonicalInput {
    let uid = |kind: &str, id: &str| EntityUid::new(kind, id).unwrap();
    let named = |name: &str| object([("issuer", Value::text("idp").unwrap()), ("subject", Value::text(name).unwrap())]);
    let alice = uid("human", "idp|alice");
    let group = uid("group", "g");
    let asked = |action: &str| [Action::new(action).unwrap()].into();
    let mut entities = vec![
        Entity { uid: group.clone(), attrs: Attributes::new(attrs).unwrap(), parents: [uid("group", "h")].into() },
        Entity { uid: alice.clone(), attrs: Attributes::new(named("alice")).unwrap(), parents: [group].into() },
    ];
    if strange {
        entities.push(Entity { uid: uid("on_call_team", "x"), attrs: Attributes::default(), parents: [].into() });
    }
    let source = SystemName::new("source").unwrap();
    let fact = |(name, value): (&str, &Value)| {
        let fact = Fact { value: value.clone(), source: source.clone(), fetched_at: Timestamp::EPOCH };
        Some((Code::new(name).ok()?, fact))
    };
    CanonicalInput::new(InputParts {
        schema: InputSchema::V1,
        subject: alice.clone(),
        actions: asked(if judging { "approve" } else { "read" }),
        resource: uid("resource", "database:prod"),
        context: InputContext {
            now: 1,
            purpose: EvaluationPurpose::Approval,
            requested_start: 1,
            requested_end: 2,
            requested_duration: 1,
            justification_length: 0,
            break_glass: false,
            recipient: uid("identity", "idp|alice"),
            on_behalf_of: strange.then(|| alice.clone()),
            delegation_depth: 0,
            judging: judging.then(|| Judging {
                requester: uid("identity", "idp|bob"),
                actions: asked("read"),
                group: Some(GroupName::new("sre").unwrap()),
                owner: false,
            }),
        },
        entities,
        facts: facts.iter().filter_map(fact).collect(),
        unavailable: Vec::new(),
        sources: Vec::new(),
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn as_it_is_means_what_it_means_as_json(
        attrs in proptest::collection::vec(member(), 0..3),
        facts in proptest::collection::vec(member(), 0..3),
        judging: bool,
        strange in proptest::bool::weighted(0.1),
    ) {
        let once = |members: Vec<(&'static str, Value)>| object(members.into_iter().collect::<std::collections::BTreeMap<_, _>>());
        let (vocabulary, input) = (&*VOCABULARY, input(once(attrs), once(facts), judging, strange));
        let json = AsJson.entities(&input, &vocabulary.schema);
        if let Ok(as_is) = AsIs(vocabulary).entities(&input) {
            let json = json.clone();
            prop_assert!(json.is_ok_and(|json| json.deep_eq(&as_is)));
        }
        let asked = Asked::of(&input, vocabulary);
        prop_assert_eq!(asked.as_ref().err(), json.as_ref().err());
        let Ok(asked) = asked else { return Ok(()) };
        let action = input.parts().actions.first().unwrap();
        let with = |context| Asked { context, input: &input, vocabulary, entities: asked.entities.clone() };
        let (found, json) = (with(asked.context.clone()).request(action), with(None).request(action));
        match (found, json) {
            (Ok(found), Ok(json)) => prop_assert_eq!(found, json),
            (found, json) => prop_assert_eq!(found.err(), json.err()),
        }
    }
}

#[test]
fn what_has_another_type_in_the_schema_is_read_by_it() {
    let attrs = object([("ip", Value::text("10.0.0.1").unwrap()), ("s", Value::text("10.0.0.1").unwrap())]);
    let (vocabulary, input) = (&*VOCABULARY, input(attrs, Object::new(), false, false));
    assert!(AsIs(vocabulary).entities(&input).is_err());
    let asked = Asked::of(&input, vocabulary).unwrap_or_else(|code| panic!("{code}"));
    assert!(asked.request(&Action::new("read").unwrap()).is_ok());
    let group = vocabulary.uid(&EntityUid::new("group", "g").unwrap()).unwrap();
    let read = asked.entities.get(&group).and_then(|group| group.attr("ip")).unwrap().unwrap();
    assert!(matches!(read, cedar_policy::EvalResult::ExtensionValue(_)), "{read:?}");
}
