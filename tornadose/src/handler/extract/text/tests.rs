//! Each type reads from its texts, and errors do not repeat them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroU8;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Multiplicity, read};
use crate::handler::extract::error::FieldError;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Buy,
    Sell,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Shape {
    Point,
    Circle(()),
}

#[derive(Debug, PartialEq, Deserialize)]
struct UserId(u64);

#[derive(Debug, PartialEq, Deserialize)]
struct Since(Option<u64>);

#[derive(Debug, PartialEq, Deserialize)]
struct Pair {
    left: u8,
}

fn assert_reads<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], value: T) {
    assert_eq!(read(texts, Multiplicity::Many), Ok(value), "{texts:?}");
}

fn assert_fails<T: DeserializeOwned + Debug + PartialEq>(texts: &[&str], why: &str) {
    assert_eq!(read::<T>(texts, Multiplicity::Many).unwrap_err().to_string(), why, "{texts:?}");
}

#[test]
fn a_text_reads_as_its_type() {
    assert_reads(&["rust"], "rust".to_string());
    assert_reads(&[""], String::new());
    assert_reads(&["7"], 7_u64);
    assert_reads(&["-7"], -7_i8);
    assert_reads(&["340282366920938463463374607431768211455"], u128::MAX);
    assert_reads(&["0.5"], 0.5_f64);
    assert_reads(&["true"], true);
    assert_reads(&["ü"], 'ü');
    assert_reads(&["sell"], Side::Sell);
    assert_reads(&["Point"], Shape::Point);
    assert_reads(&["7"], UserId(7));
    assert_reads(&["7"], Since(Some(7)));
    assert_reads(&[""], ());
    assert_reads(&["x"], serde_json::Value::from("x"));
}

#[test]
fn an_option_may_be_missing() {
    assert_reads(&[], None::<u64>);
    assert_reads(&["7"], Some(7_u64));
    assert_reads(&[], None::<Vec<u64>>);
    assert_reads(&[], Since(None));
    assert_fails::<Option<u64>>(&[""], "expected u64");
    assert_fails::<u64>(&[], "missing, expected u64");
    assert_fails::<String>(&[], "missing, expected text");
    assert_fails::<UserId>(&[], "missing, expected u64");
    assert_fails::<bool>(&[], "missing, expected `true` or `false`");
    assert_fails::<Side>(&[], "missing, expected `buy` or `sell`");
}

#[test]
fn a_list_reads_repeated_texts() {
    assert_reads(&["1", "2"], vec![1_u8, 2]);
    assert_reads(&["1"], vec![UserId(1)]);
    assert_reads(&["buy", "sell"], Some(vec![Side::Buy, Side::Sell]));
    assert_reads(&["1", "2"], (1_u8, 2_u8));
    assert_fails::<Vec<u8>>(&[], "missing, expected a list");
    assert_fails::<Vec<u8>>(&["1", "x"], "expected u8");
    assert_fails::<(u8, u8)>(&["1"], "expected a tuple of size 2, not 1 values");
    assert_fails::<(u8, u8)>(&["1", "2", "3"], "expected 2 elements in sequence, not 3 values");
    assert_fails::<u8>(&["1", "2"], "given 2 times, expected one u8");
    assert_fails::<Vec<Vec<u8>>>(&["1"], "a list can only be read from query parameters");
    let unsupported = FieldError::Unsupported("a list can only be read from query parameters".into());
    assert_eq!(read::<Vec<u8>>(&["1"], Multiplicity::One), Err(unsupported));
}

#[test]
fn an_error_does_not_repeat_the_text() {
    assert_fails::<u64>(&["<script>"], "expected u64");
    assert_fails::<u8>(&["256"], "expected u8");
    assert_fails::<NonZeroU8>(&["0"], "expected a nonzero u8");
    assert_fails::<bool>(&["1"], "expected `true` or `false`");
    assert_fails::<char>(&["ab"], "expected one character");
    assert_fails::<Side>(&["<script>"], "expected `buy` or `sell`");
    assert_fails::<()>(&["x"], "expected an empty text");
    assert_fails::<Shape>(&["Circle"], "expected a variant without content");
}

#[test]
fn a_type_that_no_text_can_be_is_unsupported() {
    fn assert_unsupported<T: DeserializeOwned + Debug>(text: &str) {
        let error = read::<T>(&[text], Multiplicity::Many).unwrap_err();
        assert!(matches!(error, FieldError::Unsupported(_)), "{error:?}");
    }
    assert_unsupported::<Pair>("1");
    assert_unsupported::<BTreeMap<String, String>>("1");
}

#[test]
fn no_text_panics() {
    let mut random = fastrand::Rng::with_seed(0);
    for _ in 0..5_000 {
        let length = random.usize(..12);
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let text = String::from_utf8_lossy(&bytes);
        let _: Result<u64, _> = read(&[&text], Multiplicity::Many);
        let _: Result<f64, _> = read(&[&text, &text], Multiplicity::Many);
        let _: Result<Option<Vec<char>>, _> = read(&[&text, &text], Multiplicity::Many);
        let _: Result<Side, _> = read(&[&text], Multiplicity::One);
        assert_eq!(read::<String>(&[&text], Multiplicity::One).as_deref(), Ok(&*text));
    }
}
