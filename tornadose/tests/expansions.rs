//! Expansions cause no warning of rustc or clippy in the crate that uses the macros.
#![deny(warnings, missing_docs, unused_qualifications, rust_2018_idioms)]
#![deny(clippy::all, clippy::pedantic)]
// The hooks are written by users.
#![allow(clippy::unused_async, clippy::unused_self)]
// The files are programs of their own in `ui.rs`.
#![allow(unreachable_pub)]

#[path = "ui/pass/by_hand.rs"]
mod by_hand;
#[path = "ui/pass/cfg_on_fields.rs"]
mod cfg_on_fields;
#[path = "ui/pass/event_names.rs"]
mod event_names;
#[path = "ui/pass/every_option.rs"]
mod every_option;
#[path = "ui/pass/inside_macro_rules.rs"]
mod inside_macro_rules;
#[path = "ui/pass/names_in_scope.rs"]
mod names_in_scope;
#[path = "ui/pass/raw_identifiers.rs"]
mod raw_identifiers;
#[path = "ui/pass/strict_lints.rs"]
mod strict_lints;
#[path = "ui/pass/the_library_renamed.rs"]
mod the_library_renamed;
#[path = "ui/pass/types_of_the_program.rs"]
mod types_of_the_program;

#[test]
fn every_expansion_works() {
    by_hand::main();
    cfg_on_fields::main();
    event_names::main();
    every_option::main();
    inside_macro_rules::main();
    names_in_scope::main();
    raw_identifiers::main();
    strict_lints::main();
    the_library_renamed::main();
    types_of_the_program::main();
}
