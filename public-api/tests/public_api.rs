//! The public items of the published crates, one per line. A change of the public API is a diff of `snapshots/`.
//!
//! The lists are made from rustdoc's JSON, which is an unstable format. `./test` has rustdoc write it, and then runs
//! these tests. `INSTA_UPDATE=always ./test` accepts the lists as they are.

use std::path::Path;

use insta::{Settings, assert_snapshot};
use public_api::Builder;

/// Lists the public items of a crate. Left out are implementations that derives, auto traits and blanket
/// implementations bring; hidden items are not public.
fn public_items(crate_name: &str) -> String {
    let json = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/doc/{crate_name}.json"));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .unwrap_or_else(|error| panic!("{} cannot be read, which `./test` writes: {error}", json.display()));
    api.to_string()
}

fn check(crate_name: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(crate_name, public_items(crate_name)));
}

#[test]
#[ignore = "rustdoc's JSON is written by ./test"]
fn tornadose() {
    check("tornadose");
}

#[test]
#[ignore = "rustdoc's JSON is written by ./test"]
fn tornadose_macros() {
    check("tornadose_macros");
}

#[test]
#[ignore = "rustdoc's JSON is written by ./test"]
fn tornadose_test() {
    check("tornadose_test");
}
