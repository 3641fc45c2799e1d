//! Each promise, broken by hand.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::id::{Epoch, Offset};
use crate::simulation::checker::record::Description;
use crate::store::gap::GapReason;

fn message(data: &str) -> Description {
    Description {
        key: "()".into(),
        event_name: None,
        data: data.into(),
        is_latest: false,
        ttl: None,
        is_ephemeral: false,
    }
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

/// The kinds of items about a value that expires after a second. Its number is its id.
enum Told {
    Value(&'static str, u64),
    Expired(&'static str, u64, u64),
    Gap,
}

/// Records that the values were submitted, in one place, that a second passed, and that a reader was told this. Another
/// reader was told of the end of `b`. Returns the promise that is broken.
async fn broken_by_values(items: &[Told]) -> Option<&'static str> {
    let checker = Checker::new();
    let epoch: Epoch = "k3v0q8zd".parse().unwrap();
    let id = |minor| Id { epoch, offset: Offset::new(0, minor) };
    let value = |data: &str| Description { is_latest: true, ttl: Some(Duration::from_secs(1)), ..message(data) };
    let (reader, other) = {
        let mut record = checker.record.lock();
        for (data, minor) in [("a", 1), ("b", 2)] {
            let index = record.submit(value(data));
            record.answer(index, Answer::Acknowledged(id(minor)));
        }
        (record.open("reader".into(), None), record.open("other".into(), None))
    };
    advance(Duration::from_secs(1)).await;
    let mut record = checker.record.lock();
    record.expired(other, value("b"), (id(2), id(3)), true);
    let late = record.submit(value("c"));
    record.answer(late, Answer::Unknown);
    for item in items {
        match item {
            Told::Value(data, minor) => record.receive(reader, value(data), id(*minor), true),
            Told::Expired(data, minor, end) => record.expired(reader, value(data), (id(*minor), id(*end)), true),
            Told::Gap => record.gap(reader, GapReason::Trimmed),
        }
    }
    drop(record);
    checker.check().err().map(|violation| violation.promise())
}

#[tokio::test(start_paused = true)]
async fn each_broken_promise_about_values_that_expire_is_named() {
    use Told::{Expired, Gap, Value};

    let b = || Value("b", 2);
    for kept in [vec![b(), Expired("b", 2, 3)], vec![Expired("b", 2, 3)], vec![b(), Gap]] {
        assert_eq!(broken_by_values(&kept).await, None);
    }
    let broken = async |items: &[Told]| broken_by_values(items).await.unwrap();
    assert!(broken(&[Expired("b", 2, 3), b()]).await.contains("after it was told that it has expired"));
    assert!(broken(&[b(), Expired("a", 1, 3)]).await.contains("a newer one in its place"));
    assert!(broken(&[b()]).await.contains("was not told that a value has expired"));
    assert!(broken(&[b(), Expired("b", 2, 3), Expired("c", 4, 5)]).await.contains("before its time"));
}

/// Records that the messages 2 and 3 were acknowledged, and after each an ephemeral one that follows it, `x` and `y`, and that
/// `z` was rejected; that a reader received these, each at a place or as a message with an id. Returns the promise that is broken.
fn broken_by_ephemerals(items: &[Received]) -> Option<&'static str> {
    let checker = Checker::new();
    let epoch: Epoch = "k3v0q8zd".parse().unwrap();
    let id = |minor| Id { epoch, offset: Offset::new(0, minor) };
    let ephemeral = |data: &str| Description { is_ephemeral: true, ..message(data) };
    let mut record = checker.record.lock();
    let reader = record.open("reader".into(), None);
    for (data, follows) in [("x", 2), ("y", 3)] {
        for description in [message(&follows.to_string()), ephemeral(data)] {
            let index = record.submit(description);
            record.answer(index, Answer::Acknowledged(id(follows)));
            // No reader has to receive it here.
            record.messages[index].is_excused = true;
        }
    }
    let rejected = record.submit(ephemeral("z"));
    record.answer(rejected, Answer::Rejected("finished".into()));
    for item in items {
        match *item {
            Received::Message(minor) => record.receive(reader, message(&minor.to_string()), id(minor), true),
            Received::Ephemeral(data, place) => record.receive(reader, ephemeral(data), id(place), false),
            Received::Resumes => record.resume(reader),
        }
    }
    drop(record);
    checker.check().err().map(|violation| violation.promise())
}

#[derive(Clone, Copy)]
enum Received {
    Message(u64),
    Ephemeral(&'static str, u64),
    Resumes,
}

#[test]
fn each_broken_promise_of_an_ephemeral_message_is_named() {
    use Received::{Ephemeral, Message, Resumes};

    let (x, y) = (Ephemeral("x", 2), Ephemeral("y", 3));
    assert_eq!(broken_by_ephemerals(&[]), None, "it may be lost");
    assert_eq!(broken_by_ephemerals(&[Message(2), x, Message(3), y]), None);
    assert_eq!(broken_by_ephemerals(&[x, Resumes, x]), None, "another process receives it later");
    let broken = |items: &[Received]| broken_by_ephemerals(items).unwrap();
    assert!(broken(&[x, y, x]).contains("twice"));
    assert!(broken(&[Ephemeral("x", 1)]).contains("before one that was acknowledged"));
    assert!(broken(&[Message(3), x]).contains("before one that was acknowledged"), "it stands before 3");
    assert!(broken(&[y, Ephemeral("x", 3)]).contains("submitted when it was taken"));
    assert!(broken(&[Ephemeral("z", 3)]).contains("rejected"));
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_message_that_is_received_late_is_named() {
    let checker = Checker::new();
    let ephemeral = Description { is_ephemeral: true, ..message("x") };
    let reader = checker.record.lock().open("reader".into(), None);
    checker.record.lock().submit(ephemeral.clone());
    tokio::time::advance(std::time::Duration::from_secs(16)).await;
    checker.record.lock().receive(reader, ephemeral, Id { epoch: Epoch::fresh(), offset: Offset::START }, false);
    assert!(checker.check().unwrap_err().promise().contains("too old"));
}
