//! Strict reading of JSON objects: every member is asked for by name, and one that nobody asked for is an error.

use std::{error::Error, num::NonZeroU32, time::Duration};

use jit_core::{
    Seconds,
    canonical::{CanonicalError, Object, Value},
};

/// What is wrong with an input, and where: the file, and within it the request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{place}: not acceptable JSON: {source}")]
    Json { place: String, source: CanonicalError },
    #[error("{place}: `{name}` is missing")]
    Missing { place: String, name: String },
    #[error("{place}: there is no such thing as `{name}` here")]
    Unknown { place: String, name: String },
    #[error("{place}: `{name}` should be {expected}")]
    Shape { place: String, name: String, expected: &'static str },
    #[error("{place}: `{name}` is not acceptable: {reason}")]
    Value { place: String, name: String, reason: String },
}

/// The members of one object that have not been read yet.
pub(crate) struct Members {
    place: String,
    left: Object,
}

impl Members {
    /// Reads a file that holds one object.
    pub(crate) fn of_file(place: &str, bytes: &[u8]) -> Result<Self, InputError> {
        let place = place.to_owned();
        match Value::parse(bytes) {
            Ok(Value::Object(left)) => Ok(Self { place, left }),
            Ok(_) => Err(InputError::Shape { place, name: "file".to_owned(), expected: "an object" }),
            Err(source) => Err(InputError::Json { place, source }),
        }
    }

    /// Names the place in errors from here on.
    pub(crate) fn called(mut self, name: &str) -> Self {
        self.place = format!("{} {name}", self.place);
        self
    }

    pub(crate) fn optional(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    pub(crate) fn value(&mut self, name: &str) -> Result<Value, InputError> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    /// A text of a type that checks it.
    pub(crate) fn text<T: TryFrom<String, Error: Error>>(&mut self, name: &str) -> Result<T, InputError> {
        self.parsed(name, |text| T::try_from(text.to_owned()))
    }

    pub(crate) fn optional_text<T: TryFrom<String, Error: Error>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, InputError> {
        self.optional_parsed(name, |text| T::try_from(text.to_owned()))
    }

    /// Several texts of a type that checks them.
    pub(crate) fn texts<T: TryFrom<String, Error: Error>>(&mut self, name: &str) -> Result<Vec<T>, InputError> {
        let value = self.value(name)?;
        let items = value.as_array().ok_or_else(|| self.shape(name, "an array of texts"))?;
        let read = |item: &Value| {
            let text = item.as_str().ok_or_else(|| self.shape(name, "an array of texts"))?;
            T::try_from(text.to_owned()).map_err(|error| self.refused(name, &error))
        };
        items.iter().map(read).collect()
    }

    /// A text, as whatever `parse` makes of it.
    pub(crate) fn parsed<T, E: Error>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, InputError> {
        self.optional_parsed(name, parse)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn optional_parsed<T, E: Error>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, InputError> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.shape(name, "a text"))?;
        parse(text).map(Some).map_err(|error| self.refused(name, &error))
    }

    /// A number of seconds, zero included.
    pub(crate) fn duration(&mut self, name: &str) -> Result<Duration, InputError> {
        let seconds = self.value(name)?.as_int().and_then(|n| u64::try_from(n).ok());
        seconds.map(Duration::from_secs).ok_or_else(|| self.shape(name, "a number of seconds"))
    }

    /// A number of seconds greater than zero.
    pub(crate) fn seconds(&mut self, name: &str) -> Result<Seconds, InputError> {
        let seconds = self.value(name)?.as_int().and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new);
        seconds.map(Seconds::new).ok_or_else(|| self.shape(name, "a number of seconds greater than zero"))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, InputError> {
        let Some(value) = self.optional(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.shape(name, "true or false"))
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Members, InputError> {
        let value = self.value(name)?;
        self.member(name, value)
    }

    pub(crate) fn optional_object(&mut self, name: &str) -> Result<Option<Members>, InputError> {
        self.optional(name).map(|value| self.member(name, value)).transpose()
    }

    /// An array of objects; an absent one is empty.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Members>, InputError> {
        match self.optional(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.into_iter().map(|item| self.member(name, item)).collect(),
            Some(_) => Err(self.shape(name, "an array of objects")),
        }
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<(), InputError> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(InputError::Unknown { place: self.place.clone(), name: name.to_owned() }),
        }
    }

    /// The error that a value has the right shape and is refused all the same.
    pub(crate) fn refused(&self, name: &str, reason: &dyn Error) -> InputError {
        InputError::Value { place: self.place.clone(), name: name.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn shape(&self, name: &str, expected: &'static str) -> InputError {
        InputError::Shape { place: self.place.clone(), name: name.to_owned(), expected }
    }

    fn missing(&self, name: &str) -> InputError {
        InputError::Missing { place: self.place.clone(), name: name.to_owned() }
    }

    fn member(&self, name: &str, value: Value) -> Result<Members, InputError> {
        match value {
            Value::Object(left) => Ok(Members { place: format!("{}, {name}", self.place), left }),
            _ => Err(self.shape(name, "an object")),
        }
    }
}
