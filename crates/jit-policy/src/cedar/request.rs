//! From the canonical input to what Cedar evaluates. Whatever the schema does not allow is an error code, and denies.

use cedar_policy::{Context, Entities, EntityId, EntityTypeName, EntityUid as CedarUid, Request, Schema};
use jit_core::{Action, Code, canonical::Value, code};
use serde_json::{Map, Value as Json, json};

use crate::{
    entity::{Entity, EntityUid},
    input::CanonicalInput,
};

/// The entities of the input, checked against the schema.
pub(super) fn entities(input: &CanonicalInput, schema: &Schema) -> Result<Entities, Code> {
    let list: Vec<Json> = input.parts().entities.iter().map(entity).collect::<Result<_, _>>()?;
    Entities::from_json_value(Json::Array(list), Some(schema)).map_err(|_| code!("entities_not_in_schema"))
}

/// The request for one action, checked against the schema.
pub(super) fn request(input: &CanonicalInput, action: &Action, schema: &Schema) -> Result<Request, Code> {
    let parts = input.parts();
    let action = uid("Action", action.as_str())?;
    let context = context(input)?;
    let context =
        Context::from_json_value(context, Some((schema, &action))).map_err(|_| code!("context_not_in_schema"))?;
    Request::new(cedar_uid(&parts.subject)?, action, cedar_uid(&parts.resource)?, context, Some(schema))
        .map_err(|_| code!("request_not_in_schema"))
}

fn context(input: &CanonicalInput) -> Result<Json, Code> {
    let parts = input.parts();
    let context = &parts.context;
    let mut object = Map::new();
    object.insert("now".to_owned(), json!(context.now));
    object.insert("purpose".to_owned(), json!(context.purpose));
    object.insert("requested_start".to_owned(), json!(context.requested_start));
    object.insert("requested_end".to_owned(), json!(context.requested_end));
    object.insert("requested_duration".to_owned(), json!(context.requested_duration));
    object.insert("justification_length".to_owned(), json!(context.justification_length));
    object.insert("break_glass".to_owned(), json!(context.break_glass));
    object.insert("delegation_depth".to_owned(), json!(context.delegation_depth));
    object.insert("recipient".to_owned(), reference(&context.recipient)?);
    if let Some(principal) = &context.on_behalf_of {
        object.insert("on_behalf_of".to_owned(), reference(principal)?);
    }
    if let Some(judging) = &context.judging {
        let mut about = Map::new();
        about.insert("requester".to_owned(), reference(&judging.requester)?);
        about.insert("actions".to_owned(), json!(judging.actions));
        about.insert("owner".to_owned(), json!(judging.owner));
        if let Some(group) = &judging.group {
            about.insert("group".to_owned(), json!(group));
        }
        object.insert("judging".to_owned(), Json::Object(about));
    }
    if !parts.facts.is_empty() {
        let facts = parts.facts.iter().map(|(name, fact)| Ok((name.to_string(), plain(&fact.value)?)));
        object.insert("facts".to_owned(), Json::Object(facts.collect::<Result<_, Code>>()?));
    }
    Ok(Json::Object(object))
}

fn entity(entity: &Entity) -> Result<Json, Code> {
    let attrs = plain(&Value::Object(entity.attrs.as_object().clone()))?;
    let parents: Vec<Json> = entity.parents.iter().map(parts).collect::<Result<_, _>>()?;
    Ok(json!({ "uid": parts(&entity.uid)?, "attrs": attrs, "parents": parents }))
}

fn parts(uid: &EntityUid) -> Result<Json, Code> {
    Ok(json!({ "type": type_name(&uid.kind)?, "id": uid.id.as_str() }))
}

fn reference(uid: &EntityUid) -> Result<Json, Code> {
    Ok(json!({ "__entity": parts(uid)? }))
}

/// Plain JSON. Cedar reads `__entity` and `__extn` as references, which values may not forge.
fn plain(value: &Value) -> Result<Json, Code> {
    let json = serde_json::to_value(value).map_err(|_| code!("value_not_json"))?;
    if has_escape(&json) { Err(code!("reserved_key")) } else { Ok(json) }
}

fn has_escape(json: &Json) -> bool {
    match json {
        Json::Object(map) => map.iter().any(|(key, value)| key.starts_with("__") || has_escape(value)),
        Json::Array(list) => list.iter().any(has_escape),
        _ => false,
    }
}

fn cedar_uid(of: &EntityUid) -> Result<CedarUid, Code> {
    let kind: EntityTypeName = type_name(&of.kind)?.parse().map_err(|_| code!("entity_type"))?;
    Ok(CedarUid::from_type_name_and_id(kind, EntityId::new(of.id.as_str())))
}

fn uid(kind: &str, id: &str) -> Result<CedarUid, Code> {
    let kind: EntityTypeName = format!("Jit::{kind}").parse().map_err(|_| code!("entity_type"))?;
    Ok(CedarUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// `on_call_team` → `Jit::OnCallTeam`.
fn type_name(kind: &Code) -> Result<String, Code> {
    let mut name = String::from("Jit::");
    for part in kind.as_str().split('_') {
        let mut chars = part.chars();
        let Some(first) = chars.next().filter(char::is_ascii_lowercase) else { return Err(code!("entity_type")) };
        name.push(first.to_ascii_uppercase());
        name.push_str(chars.as_str());
    }
    Ok(name)
}
