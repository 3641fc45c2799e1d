//! The programs that the macros accept, and the messages for those they reject. `TRYBUILD=overwrite` records the messages.

#[test]
fn correct_programs_compile_without_a_warning() {
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
