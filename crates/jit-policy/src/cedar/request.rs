//! From the canonical input to what Cedar evaluates. Whatever the schema does not allow is an error code, and denies.
//!
//! Values go to Cedar as they are. Where the schema wants another type than a value has, an address in a text for example, Cedar's own
//! reading of JSON decides: it knows how to read one as the other, or refuses. What the schema takes as it is, that reading takes too, and
//! as the same.

use cedar_policy::{Context, Entities, Entity as CedarEntity, Request, RestrictedExpression, Schema};
use jit_core::{
    Action, Code,
    canonical::{self, Object, Value},
    code,
};
use serde_json::{Map, Value as Json, json};

use super::vocabulary::{Vocabulary, type_name};
use crate::{
    entity::{Entity, EntityUid},
    input::CanonicalInput,
};

/// An input on its way to Cedar.
pub(super) struct Asked<'a> {
    input: &'a CanonicalInput,
    vocabulary: &'a Vocabulary,
    /// The entities of the input, checked against the schema.
    pub(super) entities: Entities,
    /// The circumstances as they are, not yet checked; absent where one of them cannot be given so.
    context: Option<Context>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(input: &'a CanonicalInput, vocabulary: &'a Vocabulary) -> Result<Self, Code> {
        let as_is = AsIs(vocabulary);
        let entities = match as_is.entities(input) {
            Ok(entities) => entities,
            Err(_) => AsJson.entities(input, &vocabulary.schema)?,
        };
        let context = circumstances(&as_is, input).ok().and_then(|pairs| Context::from_pairs(pairs).ok());
        Ok(Self { input, vocabulary, entities, context })
    }

    /// The request for one action, checked against the schema.
    pub(super) fn request(&self, action: &Action) -> Result<Request, Code> {
        let (parts, schema) = (self.input.parts(), &self.vocabulary.schema);
        let (subject, resource) = (self.vocabulary.uid(&parts.subject)?, self.vocabulary.uid(&parts.resource)?);
        let action = self.vocabulary.action(action);
        if let Some(context) = self.context.clone()
            && let Ok(request) = Request::new(subject.clone(), action.clone(), resource.clone(), context, Some(schema))
        {
            return Ok(request);
        }
        let context = Json::Object(circumstances(&AsJson, self.input)?.into_iter().collect());
        let context =
            Context::from_json_value(context, Some((schema, &action))).map_err(|_| code!("context_not_in_schema"))?;
        Request::new(subject, action, resource, context, Some(schema)).map_err(|_| code!("request_not_in_schema"))
    }
}

/// A form in which Cedar takes values.
trait Form {
    type Value;

    fn bool(&self, bool: bool) -> Self::Value;
    fn long(&self, long: i64) -> Self::Value;
    fn text(&self, text: &str) -> Self::Value;
    fn set(&self, items: Vec<Self::Value>) -> Self::Value;
    fn record(&self, members: Vec<(String, Self::Value)>) -> Result<Self::Value, Code>;
    fn reference(&self, to: &EntityUid) -> Result<Self::Value, Code>;
}

/// What a policy sees as `context`.
fn circumstances<F: Form>(form: &F, input: &CanonicalInput) -> Result<Vec<(String, F::Value)>, Code> {
    let parts = input.parts();
    let context = &parts.context;
    let purpose = canonical::to_value(&context.purpose).map_err(|_| code!("value_not_json"))?;
    let mut members = vec![
        ("now", form.long(context.now)),
        ("purpose", plain(form, &purpose)?),
        ("requested_start", form.long(context.requested_start)),
        ("requested_end", form.long(context.requested_end)),
        ("requested_duration", form.long(context.requested_duration)),
        ("justification_length", form.long(context.justification_length)),
        ("break_glass", form.bool(context.break_glass)),
        ("delegation_depth", form.long(context.delegation_depth)),
        ("recipient", form.reference(&context.recipient)?),
    ];
    if let Some(principal) = &context.on_behalf_of {
        members.push(("on_behalf_of", form.reference(principal)?));
    }
    if let Some(judging) = &context.judging {
        let actions = judging.actions.iter().map(|action| form.text(action.as_str())).collect();
        let mut about = vec![
            ("requester".to_owned(), form.reference(&judging.requester)?),
            ("actions".to_owned(), form.set(actions)),
            ("owner".to_owned(), form.bool(judging.owner)),
        ];
        about.extend(judging.group.iter().map(|group| ("group".to_owned(), form.text(group.as_str()))));
        members.push(("judging", form.record(about)?));
    }
    if !parts.facts.is_empty() {
        let facts = parts.facts.iter().map(|(name, fact)| Ok((name.to_string(), plain(form, &fact.value)?)));
        members.push(("facts", form.record(facts.collect::<Result<_, Code>>()?)?));
    }
    Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A value that is no reference. Cedar's JSON has `__entity` and `__extn` for references, which values may not forge.
fn plain<F: Form>(form: &F, value: &Value) -> Result<F::Value, Code> {
    Ok(match value {
        Value::Bool(bool) => form.bool(*bool),
        Value::Int(int) => form.long(int.get()),
        Value::Text(text) => form.text(text.as_str()),
        Value::Array(items) => form.set(items.iter().map(|item| plain(form, item)).collect::<Result<_, _>>()?),
        Value::Object(object) => form.record(members(form, object)?)?,
    })
}

fn members<F: Form>(form: &F, object: &Object) -> Result<Vec<(String, F::Value)>, Code> {
    let member = |(name, value): (&str, &Value)| {
        if name.starts_with("__") { Err(code!("reserved_key")) } else { Ok((name.to_owned(), plain(form, value)?)) }
    };
    object.iter().map(member).collect()
}

/// Values as they are, without a detour through JSON.
struct AsIs<'a>(&'a Vocabulary);

impl AsIs<'_> {
    fn entities(&self, input: &CanonicalInput) -> Result<Entities, Code> {
        let all: Vec<CedarEntity> = input.parts().entities.iter().map(|e| self.entity(e)).collect::<Result<_, _>>()?;
        Entities::from_entities(all, Some(&self.0.schema)).map_err(|_| code!("entities_not_in_schema"))
    }

    fn entity(&self, of: &Entity) -> Result<CedarEntity, Code> {
        let attrs = members(self, of.attrs.as_object())?;
        let parents: Vec<_> = of.parents.iter().map(|uid| self.0.uid(uid)).collect::<Result<_, _>>()?;
        CedarEntity::new_with_tags(self.0.uid(&of.uid)?, attrs, parents, [])
            .map_err(|_| code!("entities_not_in_schema"))
    }
}

impl Form for AsIs<'_> {
    type Value = RestrictedExpression;

    fn bool(&self, bool: bool) -> Self::Value {
        RestrictedExpression::new_bool(bool)
    }

    fn long(&self, long: i64) -> Self::Value {
        RestrictedExpression::new_long(long)
    }

    fn text(&self, text: &str) -> Self::Value {
        RestrictedExpression::new_string(text.to_owned())
    }

    fn set(&self, items: Vec<Self::Value>) -> Self::Value {
        RestrictedExpression::new_set(items)
    }

    fn record(&self, members: Vec<(String, Self::Value)>) -> Result<Self::Value, Code> {
        RestrictedExpression::new_record(members).map_err(|_| code!("value_not_json"))
    }

    fn reference(&self, to: &EntityUid) -> Result<Self::Value, Code> {
        Ok(RestrictedExpression::new_entity_uid(self.0.uid(to)?))
    }
}

/// Values as Cedar's own JSON, which it reads by the types of the schema.
struct AsJson;

impl AsJson {
    fn entities(&self, input: &CanonicalInput, schema: &Schema) -> Result<Entities, Code> {
        let list: Vec<Json> = input.parts().entities.iter().map(|e| self.entity(e)).collect::<Result<_, _>>()?;
        Entities::from_json_value(Json::Array(list), Some(schema)).map_err(|_| code!("entities_not_in_schema"))
    }

    fn entity(&self, of: &Entity) -> Result<Json, Code> {
        let attrs: Map<String, Json> = members(self, of.attrs.as_object())?.into_iter().collect();
        let parents: Vec<Json> = of.parents.iter().map(named).collect::<Result<_, _>>()?;
        Ok(json!({ "uid": named(&of.uid)?, "attrs": attrs, "parents": parents }))
    }
}

impl Form for AsJson {
    type Value = Json;

    fn bool(&self, bool: bool) -> Json {
        Json::Bool(bool)
    }

    fn long(&self, long: i64) -> Json {
        json!(long)
    }

    fn text(&self, text: &str) -> Json {
        json!(text)
    }

    fn set(&self, items: Vec<Json>) -> Json {
        Json::Array(items)
    }

    fn record(&self, members: Vec<(String, Json)>) -> Result<Json, Code> {
        Ok(Json::Object(members.into_iter().collect()))
    }

    fn reference(&self, to: &EntityUid) -> Result<Json, Code> {
        Ok(json!({ "__entity": named(to)? }))
    }
}

fn named(uid: &EntityUid) -> Result<Json, Code> {
    Ok(json!({ "type": type_name(&uid.kind)?, "id": uid.id.as_str() }))
}

#[cfg(test)]
mod agreement;
