//! From the canonical input to the document that rules see as `input`.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::{Action, Code, canonical::Value as Canonical, code};
use regorus::Value;
use serde_json::{Map, Value as Json, json};

use crate::{
    entity::{Entity, EntityUid},
    input::CanonicalInput,
};

/// What rules see as `input` when they decide on one action of a request, as JSON: to try a policy with other tools, `opa eval` for
/// example.
///
/// # Errors
/// A code, if a value has no JSON form. That does not happen to inputs that were recorded.
pub fn input_document(input: &CanonicalInput, action: &Action) -> Result<String, Code> {
    Ok(json_document(input, action)?.to_string())
}

/// The document for one action.
pub(super) fn document(input: &CanonicalInput, action: &Action) -> Result<Value, Code> {
    serde_json::from_value(json_document(input, action)?).map_err(|_| code!("input_not_rego"))
}

fn json_document(input: &CanonicalInput, action: &Action) -> Result<Json, Code> {
    let parts = input.parts();
    let known: BTreeMap<&EntityUid, &Entity> = parts.entities.iter().map(|entity| (&entity.uid, entity)).collect();
    let context = &parts.context;
    let mut circumstances = json!({
        "now": context.now,
        "purpose": context.purpose,
        "requested_start": context.requested_start,
        "requested_end": context.requested_end,
        "requested_duration": context.requested_duration,
        "justification_length": context.justification_length,
        "break_glass": context.break_glass,
        "delegation_depth": context.delegation_depth,
        "recipient": described(&context.recipient, &known)?,
    });
    if let (Some(principal), Json::Object(object)) = (&context.on_behalf_of, &mut circumstances) {
        object.insert("on_behalf_of".to_owned(), described(principal, &known)?);
    }
    if let (Some(judging), Json::Object(object)) = (&context.judging, &mut circumstances) {
        let mut about = json!({ "actions": judging.actions, "owner": judging.owner });
        if let Json::Object(about) = &mut about {
            about.insert("requester".to_owned(), described(&judging.requester, &known)?);
            about.extend(judging.group.iter().map(|group| ("group".to_owned(), json!(group))));
        }
        object.insert("judging".to_owned(), about);
    }
    let facts = parts.facts.iter().map(|(name, fact)| Ok((name.to_string(), plain(&fact.value)?)));
    Ok(json!({
        "subject": described(&parts.subject, &known)?,
        "action": action,
        "resource": described(&parts.resource, &known)?,
        "context": circumstances,
        "entities": entities(&parts.entities)?,
        "facts": facts.collect::<Result<Map<_, _>, Code>>()?,
    }))
}

/// A canonical value in Rego's terms.
pub(super) fn rego(value: &Canonical) -> Value {
    match value {
        Canonical::Bool(bool) => Value::from(*bool),
        Canonical::Int(int) => Value::from(int.get()),
        Canonical::Text(text) => Value::from(text.as_str()),
        Canonical::Array(items) => Value::from(items.iter().map(rego).collect::<Vec<_>>()),
        Canonical::Object(object) => {
            let members = object.iter().map(|(key, value)| (Value::from(key), rego(value)));
            Value::from(members.collect::<BTreeMap<_, _>>())
        }
    }
}

/// An entity with its attributes, and all that it is in, itself included, by type.
fn described(uid: &EntityUid, known: &BTreeMap<&EntityUid, &Entity>) -> Result<Json, Code> {
    let mut within = BTreeSet::from([uid]);
    let mut open = vec![uid];
    while let Some(parents) = open.pop().map(|uid| known.get(uid).map(|entity| &entity.parents)) {
        open.extend(parents.into_iter().flatten().filter(|parent| within.insert(parent)));
    }
    let attrs = known.get(uid).map_or_else(|| Ok(json!({})), |entity| attributes(entity))?;
    Ok(json!({ "type": uid.kind, "id": uid.id, "attrs": attrs, "within": by_type(within) }))
}

/// Every entity, by type and id.
fn entities(all: &[Entity]) -> Result<BTreeMap<&str, Map<String, Json>>, Code> {
    let mut types: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
    for entity in all {
        let described = json!({ "attrs": attributes(entity)?, "parents": by_type(&entity.parents) });
        types.entry(entity.uid.kind.as_str()).or_default().insert(entity.uid.id.as_str().to_owned(), described);
    }
    Ok(types)
}

fn by_type<'a>(uids: impl IntoIterator<Item = &'a EntityUid>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for uid in uids {
        types.entry(uid.kind.as_str()).or_default().push(uid.id.as_str());
    }
    types
}

fn attributes(entity: &Entity) -> Result<Json, Code> {
    plain(&Canonical::Object(entity.attrs.as_object().clone()))
}

fn plain(value: &Canonical) -> Result<Json, Code> {
    serde_json::to_value(value).map_err(|_| code!("value_not_json"))
}
