//! How deep a rule can be, told from its text before Cedar parses it: Cedar goes down its own stack with each operator and bracket, when
//! it reads a rule, checks it, evaluates it and lets go of it, and a stack that ends there ends the process.

/// The most operators and brackets that one rule may have, `&&` and `||` counting twice.
pub const MAX_OPERATORS: usize = 1024;
/// How deep brackets may nest in a schema.
pub(super) const MAX_SCHEMA_NESTING: usize = 32;

/// The stack that every text takes besides, in bytes.
const BASE_STACK: usize = 2 << 20;
/// What each operator adds when a rule is evaluated, in a build without optimisation.
const EVALUATION_LEVEL: usize = 96 << 10;
/// What each operator adds when a rule is read and checked.
const LOADING_LEVEL: usize = 128 << 10;

/// The stack on which rules with so many operators are read and checked, in bytes.
pub(super) fn loading_stack(operators: usize) -> usize {
    operators.saturating_mul(LOADING_LEVEL).saturating_add(BASE_STACK)
}

/// The stack on which they are evaluated, in bytes: more than they can take, so that a larger one changes nothing.
pub(super) fn evaluation_stack(operators: usize) -> usize {
    operators.saturating_mul(EVALUATION_LEVEL).saturating_add(BASE_STACK)
}

/// How many operators and brackets the rule with the most of them has.
pub(super) fn operators(text: &str) -> usize {
    let (mut most, mut here) = (0usize, 0usize);
    let mut rest = text.as_bytes();
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::End => here = 0,
            Token::Open | Token::Operator => here = here.saturating_add(1),
            Token::Close | Token::Other => {}
        }
        most = most.max(here);
    }
    most
}

/// How deep the brackets of a text nest.
pub(super) fn brackets(text: &str) -> usize {
    let (mut most, mut here) = (0usize, 0usize);
    let mut rest = text.as_bytes();
    while let Some((token, after)) = token(rest) {
        rest = after;
        match token {
            Token::Open => here = here.saturating_add(1),
            Token::Close => here = here.saturating_sub(1),
            Token::End | Token::Operator | Token::Other => {}
        }
        most = most.max(here);
    }
    most
}

enum Token {
    Open,
    Close,
    Operator,
    End,
    Other,
}

/// The next token and what is after it. Texts and comments count for nothing.
fn token(text: &[u8]) -> Option<(Token, &[u8])> {
    let (first, rest) = text.split_first()?;
    Some(match first {
        b'"' => (Token::Other, after_text(rest)),
        b'/' if rest.starts_with(b"/") => {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
            (Token::Other, rest.get(end..).unwrap_or_default())
        }
        b'(' | b'[' | b'{' | b'<' => (Token::Open, rest),
        b')' | b']' | b'}' | b'>' => (Token::Close, rest),
        b'.' | b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'|' | b'&' | b'=' => (Token::Operator, rest),
        b';' => (Token::End, rest),
        first if first.is_ascii_alphabetic() || *first == b'_' => {
            let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(rest.len());
            let is_if = *first == b'i' && rest.get(..end) == Some(b"f");
            (if is_if { Token::Operator } else { Token::Other }, rest.get(end..).unwrap_or_default())
        }
        _ => (Token::Other, rest),
    })
}

/// What is after the end of a text.
fn after_text(mut rest: &[u8]) -> &[u8] {
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => return after,
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    rest
}
