//! Values as members of types that implement serde's traits.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{Int, MAX_DEPTH, Object, Text, Value, Violation};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Int(int) => serializer.serialize_i64(int.get()),
            Self::Text(text) => serializer.serialize_str(text.as_str()),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Refuses what breaks a restriction with the display of its [`Violation`].
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Inside { depth: 0 }.deserialize(deserializer)
    }
}

/// Reads a value inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Inside {
    depth: usize,
}

impl Inside {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(Violation::Depth));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Inside {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("json without null and floats")
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<Value, E> {
        Int::new(int).map(Value::Int).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<Value, E> {
        Int::try_from(int).map(Value::Int).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom(Violation::Float))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Value::text(text).map_err(E::custom)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Value::text(text).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Err(E::custom(Violation::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Err(E::custom(Violation::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Object::new();
        while let Some(key) = access.next_key::<String>()? {
            // With its feature `arbitrary_precision`, serde_json hands a number in as a map under such a key.
            if key.starts_with("$serde_json::") {
                return Err(A::Error::custom(Violation::ReservedKey));
            }
            object.insert(key, access.next_value_seed(inner)?).map_err(A::Error::custom)?;
        }
        Ok(Value::Object(object))
    }
}
