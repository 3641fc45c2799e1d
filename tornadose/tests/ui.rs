//! What the macros accept, and what they say about the rest. `TRYBUILD=overwrite` writes the messages anew.

#[test]
fn what_is_right_compiles_without_a_warning() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

#[test]
fn every_mistake_in_a_store_has_its_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/store/*.rs");
}

#[test]
fn every_mistake_in_a_subscriber_has_its_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/subscriber/*.rs");
}
