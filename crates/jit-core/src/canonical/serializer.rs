//! Anything serialisable to a [`Value`]. A serializer of its own, because `serde_json::to_value` turns NaN into `null` and lets
//! a later duplicate key win.

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

use super::{CanonicalError, Int, MAX_DEPTH, Object, Value, Violation};

pub(super) fn to_value<T: Serialize + ?Sized>(t: &T) -> Result<Value, CanonicalError> {
    Inside { depth: 0 }.value(t)
}

/// Builds a value inside `depth` arrays and objects; `None` stands for null until it is known whether it can be left out.
#[derive(Clone, Copy)]
struct Inside {
    depth: usize,
}

impl Inside {
    fn value<T: Serialize + ?Sized>(self, t: &T) -> Result<Value, CanonicalError> {
        t.serialize(self)?.ok_or(Violation::Null.into())
    }

    fn deeper(self) -> Result<Self, CanonicalError> {
        if self.depth >= MAX_DEPTH {
            return Err(Violation::Depth.into());
        }
        Ok(Self { depth: self.depth + 1 })
    }

    fn array(self, variant: Option<&'static str>) -> Result<Array, CanonicalError> {
        let outer = if variant.is_some() { self.deeper()? } else { self };
        Ok(Array { inner: outer.deeper()?, items: Vec::new(), variant })
    }

    fn members(self, variant: Option<&'static str>) -> Result<Members, CanonicalError> {
        let outer = if variant.is_some() { self.deeper()? } else { self };
        Ok(Members { inner: outer.deeper()?, object: Object::new(), key: None, variant })
    }
}

impl Serializer for Inside {
    type Ok = Option<Value>;
    type Error = CanonicalError;
    type SerializeSeq = Array;
    type SerializeTuple = Array;
    type SerializeTupleStruct = Array;
    type SerializeTupleVariant = Array;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    fn serialize_bool(self, v: bool) -> Result<Self::Ok, CanonicalError> {
        Ok(Some(Value::Bool(v)))
    }

    fn serialize_i8(self, v: i8) -> Result<Self::Ok, CanonicalError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<Self::Ok, CanonicalError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<Self::Ok, CanonicalError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<Self::Ok, CanonicalError> {
        Ok(Some(Int::new(v)?.into()))
    }

    fn serialize_u8(self, v: u8) -> Result<Self::Ok, CanonicalError> {
        self.serialize_u64(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<Self::Ok, CanonicalError> {
        self.serialize_u64(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<Self::Ok, CanonicalError> {
        self.serialize_u64(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<Self::Ok, CanonicalError> {
        Ok(Some(Int::try_from(v)?.into()))
    }

    fn serialize_f32(self, _: f32) -> Result<Self::Ok, CanonicalError> {
        Err(Violation::Float.into())
    }

    fn serialize_f64(self, _: f64) -> Result<Self::Ok, CanonicalError> {
        Err(Violation::Float.into())
    }

    fn serialize_char(self, v: char) -> Result<Self::Ok, CanonicalError> {
        Value::text(v).map(Some)
    }

    fn serialize_str(self, v: &str) -> Result<Self::Ok, CanonicalError> {
        Value::text(v).map(Some)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Self::Ok, CanonicalError> {
        Err(CanonicalError::Serialize)
    }

    fn serialize_none(self) -> Result<Self::Ok, CanonicalError> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, CanonicalError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Self::Ok, CanonicalError> {
        Ok(None)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Self::Ok, CanonicalError> {
        Ok(None)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Self::Ok, CanonicalError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Self::Ok, CanonicalError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, CanonicalError> {
        tagged(Some(variant), self.deeper()?.value(value)?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Array, CanonicalError> {
        self.array(None)
    }

    fn serialize_tuple(self, _: usize) -> Result<Array, CanonicalError> {
        self.array(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array, CanonicalError> {
        self.array(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Array, CanonicalError> {
        self.array(Some(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members, CanonicalError> {
        self.members(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members, CanonicalError> {
        self.members(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members, CanonicalError> {
        self.members(Some(variant))
    }
}

/// The value of an enum variant with content is an object with the variant's name as its only key.
fn tagged(variant: Option<&'static str>, value: Value) -> Result<Option<Value>, CanonicalError> {
    let Some(variant) = variant else {
        return Ok(Some(value));
    };
    let mut object = Object::new();
    object.insert(variant, value)?;
    Ok(Some(object.into()))
}

struct Array {
    inner: Inside,
    items: Vec<Value>,
    variant: Option<&'static str>,
}

impl SerializeSeq for Array {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        self.items.push(self.inner.value(value)?);
        Ok(())
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        tagged(self.variant, Value::Array(self.items))
    }
}

impl SerializeTuple for Array {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for Array {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleVariant for Array {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        SerializeSeq::end(self)
    }
}

struct Members {
    inner: Inside,
    object: Object,
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl SerializeMap for Members {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        self.key = key.serialize(self.inner)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        let key = self.key.take();
        let key = key.as_ref().and_then(Value::as_str).ok_or(CanonicalError::Serialize)?;
        match value.serialize(self.inner)? {
            Some(value) => self.object.insert(key, value),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        tagged(self.variant, self.object.into())
    }
}

impl SerializeStruct for Members {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), CanonicalError> {
        self.serialize_entry(key, value)
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        SerializeMap::end(self)
    }
}

impl SerializeStructVariant for Members {
    type Ok = Option<Value>;
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), CanonicalError> {
        self.serialize_entry(key, value)
    }

    fn end(self) -> Result<Self::Ok, CanonicalError> {
        SerializeMap::end(self)
    }
}
