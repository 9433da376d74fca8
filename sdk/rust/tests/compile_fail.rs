//! Mistakes that the compiler reports, with the method's name.

#![allow(missing_docs)]

#[test]
fn mistakes_are_errors_that_name_the_method() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
