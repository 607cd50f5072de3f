//! The one table of record kinds: from it come the kinds, the typed events and the class of every field.

/// Whether a field lies in the header's facts or in the payload, and whether it may be erased alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPlace {
    /// In the header, never redacted.
    Fact,
    /// In the payload, kept as long as the payload.
    Keep,
    /// In the payload, erasable alone.
    Personal,
}

/// One field of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// Where it lies.
    pub place: FieldPlace,
}

/// In which streams a kind may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFamily {
    /// `case:*`.
    Case,
    /// `case:*` and `ops:*`: what is refused may have no case.
    CaseOrOps,
    /// `entitlement:*`.
    Entitlement,
    /// `gov`.
    Gov,
    /// `erasure`.
    Erasure,
    /// `policy`.
    Policy,
    /// `ops:*`.
    Ops,
}

macro_rules! place {
    (fact) => {
        $crate::event::table::FieldPlace::Fact
    };
    (keep) => {
        $crate::event::table::FieldPlace::Keep
    };
    (personal) => {
        $crate::event::table::FieldPlace::Personal
    };
}

/// A personal field may be erased, so what is read back may lack it.
macro_rules! held {
    (fact $t:ty) => { $t };
    (keep $t:ty) => { $t };
    (personal $t:ty) => { Option<$t> };
}

macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident = $kind:literal in $family:ident {
            $( $(#[$fdoc:meta])* $place:ident $field:ident : $type:ty, )*
        }
    )*) => {
        /// The kind of a record. A kind is never removed or given another meaning; verifiers report kinds they do not know.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $( $(#[$doc])* $name, )*
            /// A kind that this version does not know.
            Unknown(UnknownKind),
        }

        impl Kind {
            /// Every kind of this version.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The name in the header.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$name => $kind, )*
                    Self::Unknown(unknown) => unknown.as_str(),
                }
            }

            /// The fields of this kind; none for an unknown one.
            #[must_use]
            pub fn fields(&self) -> &'static [FieldSpec] {
                match self {
                    $( Self::$name => &[$( FieldSpec { name: stringify!($field), place: place!($place) } ),*], )*
                    Self::Unknown(_) => &[],
                }
            }

            /// The streams this kind may stand in; `None` for an unknown one.
            #[must_use]
            pub fn family(&self) -> Option<StreamFamily> {
                match self {
                    $( Self::$name => Some(StreamFamily::$family), )*
                    Self::Unknown(_) => None,
                }
            }

            pub(super) fn known(text: &str) -> Option<Self> {
                match text {
                    $( $kind => Some(Self::$name), )*
                    _ => None,
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub struct $name {
                $( $(#[$fdoc])* pub $field: held!($place $type), )*
            }

            impl From<$name> for Event {
                fn from(event: $name) -> Event {
                    Event::$name(event)
                }
            }
        )*

        /// What happened, typed: one variant a kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "events are few at a time and short-lived")]
        pub enum Event {
            $( $(#[$doc])* $name($name), )*
        }

        impl Event {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $( Self::$name(_) => Kind::$name, )*
                }
            }

            pub(super) fn to_object(&self) -> Result<Value, CanonicalError> {
                match self {
                    $( Self::$name(event) => canonical::to_value(event), )*
                }
            }

            pub(super) fn from_object(kind: &Kind, object: &Value) -> Result<Self, EventError> {
                match kind {
                    $( Kind::$name => canonical::from_value(object).map(Self::$name).map_err(EventError::Malformed), )*
                    Kind::Unknown(unknown) => Err(EventError::UnknownKind(unknown.clone())),
                }
            }
        }
    };
}

pub(super) use {events, held, place};
