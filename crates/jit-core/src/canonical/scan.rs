//! The one scanner behind the parser and the recogniser. They differ in what they keep and in whether a form that is valid but
//! not canonical is refused.

use std::borrow::Cow;

use super::{CanonicalError, Int, MAX_DEPTH, Object, Text, Value, Violation, object::key_order};

pub(super) fn parse(bytes: &[u8]) -> Result<Value, CanonicalError> {
    scan(bytes, false)
}

pub(super) fn recognise(bytes: &[u8]) -> Result<(), CanonicalError> {
    scan::<Seen>(bytes, true).map(|Seen| ())
}

fn scan<'a, N: Node<'a>>(bytes: &'a [u8], canonical: bool) -> Result<N, CanonicalError> {
    let text = str::from_utf8(bytes).map_err(|error| Violation::Utf8.at(error.valid_up_to()))?;
    let mut scanner = Scanner { text, pos: 0, canonical };
    scanner.space()?;
    let node = scanner.value(0)?;
    scanner.space()?;
    match scanner.peek() {
        None => Ok(node),
        Some(_) => Err(Violation::Trailing.at(scanner.pos)),
    }
}

/// What a scan keeps of a value.
trait Node<'a>: Sized {
    type Items: Default;
    type Members: Default;

    fn bool(bool: bool) -> Self;
    fn int(int: Int) -> Self;
    fn text(raw: RawText<'a>) -> Result<Self, CanonicalError>;
    fn push(items: &mut Self::Items, item: Self);
    fn array(items: Self::Items) -> Self;
    fn insert(members: &mut Self::Members, key: Cow<'a, str>, value: Self) -> Result<(), CanonicalError>;
    fn object(members: Self::Members) -> Self;
}

impl<'a> Node<'a> for Value {
    type Items = Vec<Self>;
    type Members = Object;

    fn bool(bool: bool) -> Self {
        Self::Bool(bool)
    }

    fn int(int: Int) -> Self {
        Self::Int(int)
    }

    fn text(raw: RawText<'a>) -> Result<Self, CanonicalError> {
        Text::new(raw.decode()?).map(Self::Text)
    }

    fn push(items: &mut Vec<Self>, item: Self) {
        items.push(item);
    }

    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn insert(members: &mut Object, key: Cow<'a, str>, value: Self) -> Result<(), CanonicalError> {
        members.insert(key, value)
    }

    fn object(members: Object) -> Self {
        Self::Object(members)
    }
}

/// Nothing is kept, but the last key of each open object.
struct Seen;

impl<'a> Node<'a> for Seen {
    type Items = ();
    type Members = Option<Cow<'a, str>>;

    fn bool(_: bool) -> Self {
        Self
    }

    fn int(_: Int) -> Self {
        Self
    }

    fn text(_: RawText<'a>) -> Result<Self, CanonicalError> {
        Ok(Self)
    }

    fn push((): &mut (), Self: Self) {}

    fn array((): ()) -> Self {
        Self
    }

    fn insert(last: &mut Self::Members, key: Cow<'a, str>, Self: Self) -> Result<(), CanonicalError> {
        if let Some(last) = last {
            match key_order(last, &key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Violation::DuplicateKey.into()),
                std::cmp::Ordering::Greater => return Err(Violation::KeyOrder.into()),
            }
        }
        *last = Some(key);
        Ok(())
    }

    fn object(_: Self::Members) -> Self {
        Self
    }
}

struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    canonical: bool,
}

impl<'a> Scanner<'a> {
    fn value<N: Node<'a>>(&mut self, depth: usize) -> Result<N, CanonicalError> {
        match self.peek() {
            Some(b'"') => N::text(self.string()?),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.integer().map(N::int),
            Some(b't') => self.word("true").map(|_| N::bool(true)),
            Some(b'f') => self.word("false").map(|_| N::bool(false)),
            Some(b'n') => self.word("null").and_then(|start| Err(Violation::Null.at(start))),
            _ => Err(self.unexpected()),
        }
    }

    fn array<N: Node<'a>>(&mut self, depth: usize) -> Result<N, CanonicalError> {
        self.open(depth)?;
        let mut items = N::Items::default();
        if self.take(b']') {
            return Ok(N::array(items));
        }
        loop {
            N::push(&mut items, self.value(depth + 1)?);
            self.space()?;
            if self.take(b']') {
                return Ok(N::array(items));
            }
            self.expect(b',')?;
            self.space()?;
        }
    }

    fn object<N: Node<'a>>(&mut self, depth: usize) -> Result<N, CanonicalError> {
        self.open(depth)?;
        let mut members = N::Members::default();
        if self.take(b'}') {
            return Ok(N::object(members));
        }
        loop {
            let start = self.pos;
            let key = self.string()?.decode()?;
            self.space()?;
            self.expect(b':')?;
            self.space()?;
            let value = self.value(depth + 1)?;
            N::insert(&mut members, key, value).map_err(|error| error.or_at(start))?;
            self.space()?;
            if self.take(b'}') {
                return Ok(N::object(members));
            }
            self.expect(b',')?;
            self.space()?;
        }
    }

    /// Enters an array or an object, whose bracket is next, inside `depth` others.
    fn open(&mut self, depth: usize) -> Result<(), CanonicalError> {
        if depth >= MAX_DEPTH {
            return Err(Violation::Depth.at(self.pos));
        }
        self.pos += 1;
        self.space()
    }

    fn integer(&mut self) -> Result<Int, CanonicalError> {
        let start = self.pos;
        let negative = self.take(b'-');
        let first = self.pos;
        let mut magnitude = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            magnitude = magnitude * 10 + i64::from(digit - b'0');
            if Int::new(magnitude).is_err() {
                return Err(Violation::IntegerRange.at(start));
            }
            self.pos += 1;
        }
        let digits = self.pos - first;
        if digits == 0 {
            return Err(self.unexpected());
        }
        if digits > 1 && self.bytes().get(first) == Some(&b'0') {
            return Err(Violation::Syntax.at(first));
        }
        if let Some(b'.' | b'e' | b'E') = self.peek() {
            return Err(Violation::Float.at(start));
        }
        if negative && magnitude == 0 {
            return Err(Violation::NegativeZero.at(start));
        }
        Int::new(if negative { -magnitude } else { magnitude })
    }

    fn string(&mut self) -> Result<RawText<'a>, CanonicalError> {
        self.expect(b'"')?;
        let start = self.pos;
        let mut escaped = false;
        loop {
            let rest = self.bytes().get(self.pos..).unwrap_or_default();
            self.pos += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(Violation::Control.at(self.pos)),
                None => return Err(self.unexpected()),
            }
        }
        let text = self.text.get(start..self.pos).ok_or(Violation::Utf8.at(start))?;
        self.pos += 1;
        Ok(RawText { text, escaped })
    }

    fn escape(&mut self) -> Result<char, CanonicalError> {
        let start = self.pos;
        self.pos += 1;
        let (char, minimal) = match self.peek() {
            Some(b'"') => ('"', true),
            Some(b'\\') => ('\\', true),
            Some(b'/') => ('/', false),
            Some(b'b') => ('\u{8}', true),
            Some(b'f') => ('\u{c}', true),
            Some(b'n') => ('\n', true),
            Some(b'r') => ('\r', true),
            Some(b't') => ('\t', true),
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.unexpected()),
        };
        self.pos += 1;
        if self.canonical && !minimal {
            return Err(Violation::Escape.at(start));
        }
        Ok(char)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, CanonicalError> {
        let high = self.code_unit()?;
        let low = if (0xd800..=0xdbff).contains(&high) && self.take(b'\\') { Some(self.code_unit()?) } else { None };
        let char = match char::decode_utf16(std::iter::once(high).chain(low)).next() {
            Some(Ok('\0')) => return Err(Violation::Nul.at(start)),
            Some(Ok(char)) => char,
            Some(Err(_)) | None => return Err(Violation::LoneSurrogate.at(start)),
        };
        let minimal = char < ' '
            && !matches!(char, '\u{8}' | '\t' | '\n' | '\u{c}' | '\r')
            && !self.bytes().get(start..self.pos).unwrap_or_default().iter().any(u8::is_ascii_uppercase);
        if self.canonical && !minimal {
            return Err(Violation::Escape.at(start));
        }
        Ok(char)
    }

    /// The four hexadecimal digits of an escape, whose `u` is next.
    fn code_unit(&mut self) -> Result<u16, CanonicalError> {
        self.expect(b'u')?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(|| self.unexpected())?;
            unit = unit << 4 | digit as u16;
            self.pos += 1;
        }
        Ok(unit)
    }

    /// Passes a literal name and gives where it began.
    fn word(&mut self, word: &str) -> Result<usize, CanonicalError> {
        let start = self.pos;
        word.bytes().try_for_each(|byte| self.expect(byte))?;
        Ok(start)
    }

    fn space(&mut self) -> Result<(), CanonicalError> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            if self.canonical {
                return Err(Violation::WhiteSpace.at(self.pos));
            }
            self.pos += 1;
        }
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), CanonicalError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.pos).copied()
    }

    fn unexpected(&self) -> CanonicalError {
        let violation = if self.peek().is_none() { Violation::End } else { Violation::Syntax };
        violation.at(self.pos)
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }
}

/// The inside of a string that has passed the scan, with its escapes.
struct RawText<'a> {
    text: &'a str,
    escaped: bool,
}

impl<'a> RawText<'a> {
    fn decode(self) -> Result<Cow<'a, str>, CanonicalError> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.text));
        }
        let mut decoded = String::with_capacity(self.text.len());
        let mut scanner = Scanner { text: self.text, pos: 0, canonical: false };
        while let Some((plain, _)) = self.text.get(scanner.pos..).and_then(|rest| rest.split_once('\\')) {
            decoded.push_str(plain);
            scanner.pos += plain.len();
            decoded.push(scanner.escape()?);
        }
        decoded.push_str(self.text.get(scanner.pos..).unwrap_or_default());
        Ok(Cow::Owned(decoded))
    }
}

impl Violation {
    fn at(self, offset: usize) -> CanonicalError {
        CanonicalError::At { violation: self, offset }
    }
}

impl CanonicalError {
    /// Gives the error an offset, unless it has one.
    fn or_at(self, offset: usize) -> Self {
        match self {
            Self::Value(violation) => violation.at(offset),
            other => other,
        }
    }
}
