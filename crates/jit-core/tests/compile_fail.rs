//! What must not be forgotten cannot be left out, and what must be proven cannot be made up: neither compiles.
#![allow(missing_docs, reason = "a test")]

#[test]
fn the_illegal_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
