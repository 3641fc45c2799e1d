//! Correct programs: the macros accept them, and expansions cause no warning of rustc or clippy.
#![deny(warnings, missing_docs, unused_qualifications, rust_2018_idioms)]
#![deny(clippy::all, clippy::pedantic)]
// The hooks and the tests of the programs are written by users.
#![allow(clippy::unused_async, clippy::unused_self, clippy::unwrap_used)]
#![allow(clippy::assertions_on_constants, clippy::trivially_copy_pass_by_ref)]
// The files are modules here, and the functions `main` in them are called.
#![allow(unreachable_pub)]

use std::collections::BTreeSet;

// `dollar_crate.rs` names it by `$crate`.
#[doc(hidden)]
pub use tornadose as streams;

#[path = "ui/pass/by_hand.rs"]
mod by_hand;
#[path = "ui/pass/cfg_on_fields.rs"]
mod cfg_on_fields;
#[path = "ui/pass/constants.rs"]
mod constants;
#[path = "ui/pass/dollar_crate.rs"]
mod dollar_crate;
#[path = "ui/pass/ephemeral.rs"]
mod ephemeral;
#[path = "ui/pass/event_names.rs"]
mod event_names;
#[path = "ui/pass/every_option.rs"]
mod every_option;
#[path = "ui/pass/helper_words.rs"]
mod helper_words;
#[path = "ui/pass/inside_macro_rules.rs"]
mod inside_macro_rules;
#[path = "ui/pass/names_in_scope.rs"]
mod names_in_scope;
#[path = "ui/pass/no_warning_of_the_expansion.rs"]
mod no_warning_of_the_expansion;
#[path = "ui/pass/raw_identifiers.rs"]
mod raw_identifiers;
#[path = "ui/pass/replies.rs"]
mod replies;
#[path = "ui/pass/slots.rs"]
mod slots;
#[path = "ui/pass/snapshots.rs"]
mod snapshots;
#[path = "ui/pass/strict_lints.rs"]
mod strict_lints;
#[path = "ui/pass/the_library_renamed.rs"]
mod the_library_renamed;
#[path = "ui/pass/types_of_the_program.rs"]
mod types_of_the_program;
#[path = "ui/pass/watch.rs"]
mod watch;

/// Runs these programs, which must be all that there are.
macro_rules! run {
    ($($program:ident)*) => {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui/pass")).unwrap();
        let names: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names, [$(concat!(stringify!($program), ".rs")),*].map(String::from).into());
        $($program::main();)*
    };
}

#[test]
fn every_expansion_works() {
    run! {
        by_hand
        cfg_on_fields
        constants
        dollar_crate
        ephemeral
        event_names
        every_option
        helper_words
        inside_macro_rules
        names_in_scope
        no_warning_of_the_expansion
        raw_identifiers
        replies
        slots
        snapshots
        strict_lints
        the_library_renamed
        types_of_the_program
        watch
    }
}
