//! What must not compile does not: minting without authorisation, making what only a record makes, showing a secret.
#![allow(missing_docs, reason = "a test")]

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
