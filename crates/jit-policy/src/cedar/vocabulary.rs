//! The names that a schema declares, looked up once: reading a name costs Cedar more than most conditions.

use std::collections::BTreeMap;

use cedar_policy::{EntityId, EntityTypeName, EntityUid as CedarUid, ParseErrors, Schema};
use jit_core::{Action, Code, code};

use crate::{engine::LoadError, entity::EntityUid};

/// A schema, and its entity types by the kinds that stand for them in an input.
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    kinds: BTreeMap<Code, EntityTypeName>,
    action: EntityTypeName,
}

impl Vocabulary {
    pub(super) fn of(schema: Schema) -> Result<Self, LoadError> {
        let kinds = schema.entity_types().filter_map(|name| Some((kind(&name.to_string())?, name.clone()))).collect();
        let action = "Jit::Action".parse();
        let action = action.map_err(|e: ParseErrors| LoadError::Schema { reason: e.to_string() })?;
        Ok(Self { schema, kinds, action })
    }

    /// An entity as Cedar names it, whether the schema declares its type or not.
    pub(super) fn uid(&self, of: &EntityUid) -> Result<CedarUid, Code> {
        let name = match self.kinds.get(&of.kind) {
            Some(name) => name.clone(),
            None => type_name(&of.kind)?.parse().map_err(|_| code!("entity_type"))?,
        };
        Ok(CedarUid::from_type_name_and_id(name, EntityId::new(of.id.as_str())))
    }

    pub(super) fn action(&self, of: &Action) -> CedarUid {
        CedarUid::from_type_name_and_id(self.action.clone(), EntityId::new(of.as_str()))
    }
}

/// `on_call_team` → `Jit::OnCallTeam`.
pub(super) fn type_name(kind: &Code) -> Result<String, Code> {
    let mut name = String::from("Jit::");
    for part in kind.as_str().split('_') {
        let mut chars = part.chars();
        let Some(first) = chars.next().filter(char::is_ascii_lowercase) else { return Err(code!("entity_type")) };
        name.push(first.to_ascii_uppercase());
        name.push_str(chars.as_str());
    }
    Ok(name)
}

/// `Jit::OnCallTeam` → `on_call_team`, unless no kind is called so.
fn kind(name: &str) -> Option<Code> {
    let mut kind = String::new();
    for char in name.strip_prefix("Jit::")?.chars() {
        if char.is_ascii_uppercase() && !kind.is_empty() {
            kind.push('_');
        }
        kind.push(char.to_ascii_lowercase());
    }
    let kind = Code::new(kind).ok()?;
    type_name(&kind).is_ok_and(|back| back == name).then_some(kind)
}
