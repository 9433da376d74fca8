//! Mistakes that the compiler reports, with the method's name. In: services that are wrong. Out: its messages. Owns nothing.

#![allow(missing_docs)]

#[test]
fn mistakes_are_errors_that_name_the_method() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
