//! Brackets of a text before it is parsed: regorus reads each `[` and `{` again for every meaning it may have, so that the time
//! it takes doubles with each level, and goes down its own stack with each `(`.

use regorus::{
    Source,
    unstable::{Lexer, TokenKind},
};

/// How deep arrays, sets, objects and bodies may nest in a policy.
pub const MAX_NESTING: usize = 10;
/// How deep they may nest together with calls and parentheses.
const MAX_BRACKETS: usize = 32;

/// The line, counted from 1, where brackets nest too deep. A text that does not lex is left to the parser.
pub(super) fn too_deep(source: &Source) -> Option<u32> {
    let mut lexer = Lexer::new(source);
    let (mut depth, mut brackets) = (0usize, 0usize);
    while let Ok(token) = lexer.next_token() {
        match (token.0, token.1.text()) {
            (TokenKind::Eof, _) => return None,
            (TokenKind::Symbol, "[" | "{") => (depth, brackets) = (depth.saturating_add(1), brackets.saturating_add(1)),
            (TokenKind::Symbol, "]" | "}") => (depth, brackets) = (depth.saturating_sub(1), brackets.saturating_sub(1)),
            (TokenKind::Symbol, "(") => brackets = brackets.saturating_add(1),
            (TokenKind::Symbol, ")") => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING || brackets > MAX_BRACKETS {
            return Some(token.1.line);
        }
    }
    None
}
