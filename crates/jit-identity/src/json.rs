//! JSON as tokens have it: floats and `null` are foreign but allowed, a member that stands there twice is not.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::error::TokenError;

/// How many arrays and objects may nest. An `act` claim of the greatest depth fits more than three times.
const MAX_NESTING: usize = 64;

/// A value, as far as anything here reads it.
#[derive(Debug)]
pub(crate) enum Json {
    Text(String),
    Int(i64),
    Array(Vec<Json>),
    Object(Members),
    /// `true`, `false`, `null`, or a number that is no integer.
    Other,
}

/// The members of an object.
#[derive(Debug, Default)]
pub(crate) struct Members(BTreeMap<String, Json>);

/// Why bytes are not an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    /// Not JSON, not UTF-8, too deep, or no object.
    Malformed,
    /// A member stands there twice.
    Repeated,
}

impl Members {
    /// Reads one object.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NoObject> {
        let repeated = std::cell::Cell::new(false);
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let parsed = Inside { nesting: 0, repeated: &repeated }.deserialize(&mut deserializer);
        match (parsed, deserializer.end()) {
            (Ok(Json::Object(members)), Ok(())) => Ok(members),
            _ if repeated.get() => Err(NoObject::Repeated),
            _ => Err(NoObject::Malformed),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A claim that is a text, if it is there.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, TokenError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Claim(name)),
        }
    }

    /// A claim that must be there and a text.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, TokenError> {
        self.text(name)?.ok_or(TokenError::Missing(name))
    }

    /// A claim that is a text of a type that checks it, if it is there.
    pub(crate) fn parsed<T: TryFrom<String>>(&self, name: &'static str) -> Result<Option<T>, TokenError> {
        self.text(name)?.map(|text| T::try_from(text.to_owned()).map_err(|_| TokenError::Claim(name))).transpose()
    }

    /// A claim that must be there and a text of a type that checks it.
    pub(crate) fn required_as<T: TryFrom<String>>(&self, name: &'static str) -> Result<T, TokenError> {
        self.parsed(name)?.ok_or(TokenError::Missing(name))
    }

    /// A claim that is a whole number of seconds, if it is there (`NumericDate`, RFC 7519 section 2, without fractions).
    pub(crate) fn seconds(&self, name: &'static str) -> Result<Option<i64>, TokenError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Int(seconds)) => Ok(Some(*seconds)),
            Some(_) => Err(TokenError::Claim(name)),
        }
    }

    /// A claim that must be there and an object.
    pub(crate) fn object(&self, name: &'static str) -> Result<&Members, TokenError> {
        match self.get(name) {
            None => Err(TokenError::Missing(name)),
            Some(Json::Object(members)) => Ok(members),
            Some(_) => Err(TokenError::Claim(name)),
        }
    }
}

/// Reads a value inside so many arrays and objects.
#[derive(Clone, Copy)]
struct Inside<'a> {
    nesting: usize,
    repeated: &'a std::cell::Cell<bool>,
}

impl Inside<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.nesting >= MAX_NESTING {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { nesting: self.nesting + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<Json, E> {
        Ok(Json::Int(int))
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<Json, E> {
        Ok(i64::try_from(int).map_or(Json::Other, Json::Int))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut members = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            // With its feature `arbitrary_precision`, serde_json hands a number in as a map under such a key.
            if name.starts_with("$serde_json::") {
                access.next_value::<IgnoredAny>()?;
                return Ok(Json::Other);
            }
            let value = access.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                self.repeated.set(true);
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(Json::Object(Members(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_may_stand_there_once() {
        assert!(Members::parse(br#"{"a":1.5,"b":null,"c":[{"a":2}]}"#).is_ok());
        assert_eq!(Members::parse(br#"{"a":1,"\u0061":2}"#).unwrap_err(), NoObject::Repeated);
        assert_eq!(Members::parse(br#"{"x":{"a":1,"a":2}}"#).unwrap_err(), NoObject::Repeated);
        for bad in ["[]", "{}{}", "", "{\"a\":}", "\"text\"", "{} x"] {
            assert_eq!(Members::parse(bad.as_bytes()).unwrap_err(), NoObject::Malformed, "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        assert_eq!(Members::parse(deep.as_bytes()).unwrap_err(), NoObject::Malformed);
        assert_eq!(Members::parse(&[b'{', 0xff, b'}']).unwrap_err(), NoObject::Malformed);
    }
}
