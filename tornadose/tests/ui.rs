//! The messages for programs that the macros reject. `TRYBUILD=overwrite` records them. `expansions.rs` has those that they
//! accept.

#[test]
fn every_mistake_in_a_store_has_its_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/store/*.rs");
}

#[test]
fn every_mistake_in_a_subscriber_has_its_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/subscriber/*.rs");
}
