//! Each promise, broken by hand.

use super::*;
use crate::id::{Epoch, Offset};
use crate::simulation::checker::record::Description;
use crate::store::gap::GapReason;

fn message(data: &str) -> Description {
    Description { key: "()".into(), event_name: None, data: data.into(), is_latest: false, ttl: None }
}

/// The kinds of items that a reader receives.
enum Item {
    Message(&'static str, u64),
    Gap(GapReason),
}

/// Records that `a`, `b` and `c` were acknowledged as 1, 2 and 3, and `d` was rejected; that one reader has received
/// these, and another `a`, `b` and `c`. Returns the promise that is broken.
fn broken_by(items: &[Item]) -> Option<&'static str> {
    let checker = Checker::new();
    let epoch: Epoch = "k3v0q8zd".parse().unwrap();
    let id = |minor| Id { epoch, offset: Offset::new(0, minor) };
    let mut record = checker.record.lock();
    let (reader, other) = (record.open("reader".into(), None), record.open("other".into(), None));
    for (data, minor) in [("a", 1), ("b", 2), ("c", 3)] {
        let index = record.submit(message(data));
        record.answer(index, Answer::Acknowledged(id(minor)));
        record.receive(other, message(data), id(minor), true);
    }
    let rejected = record.submit(message("d"));
    record.answer(rejected, Answer::Rejected("OOM".into()));
    for item in items {
        match item {
            Item::Message(data, minor) => record.receive(reader, message(data), id(*minor), true),
            Item::Gap(reason) => record.gap(reader, *reason),
        }
    }
    drop(record);
    checker.check().err().map(|violation| {
        assert!(violation.to_string().contains("reader: "), "{violation}");
        violation.promise()
    })
}

#[test]
fn each_broken_promise_is_named() {
    use Item::{Gap, Message};

    let (a, b, c) = (|| Message("a", 1), || Message("b", 2), || Message("c", 3));
    assert_eq!(broken_by(&[a(), b(), c()]), None);
    assert_eq!(broken_by(&[a(), Gap(GapReason::Trimmed), c()]), None);
    assert_eq!(broken_by(&[Gap(GapReason::Lagged)]), None);
    assert_eq!(broken_by(&[a(), b(), c(), Gap(GapReason::Restarted), a(), b(), c()]), None);
    let broken = |items: &[Item]| broken_by(items).unwrap();
    assert!(broken(&[a(), b(), c(), a()]).contains("twice"));
    assert!(broken(&[a(), c(), b()]).contains("newer"));
    assert!(broken(&[a(), c()]).contains("between two others"));
    assert!(broken(&[a(), b()]).contains("did not reach"));
    assert!(broken(&[Gap(GapReason::Trimmed), a(), b()]).contains("did not reach"));
    assert!(broken(&[a(), b(), c(), Message("d", 4)]).contains("rejected"));
    assert!(broken(&[a(), b(), Message("x", 3)]).contains("under one id"));
}
