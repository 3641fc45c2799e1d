//! Each fault by itself.

use std::time::Duration;

use tornadose::SubmitError;
use tornadose::backend::SendOutcome;
use tornadose::prelude::*;
use tornadose::simulation::{Checker, Engine, Faults};

use crate::{Build, BuildKey, Line, Market, MarketKey, line, open, received, settle, two_processes};

#[tokio::test(start_paused = true)]
async fn a_submit_reaches_the_readers_of_every_process_under_one_id() {
    let engine = Engine::new(1);
    let (_, [one, two]) = two_processes(&engine).await;
    let (mut here, mut there) = (one.subscribe(), two.subscribe());
    let id = one.submit(line("hi")).await.unwrap();
    settle().await;
    assert_eq!((one.head(), two.head()), (id, id));
    assert_eq!(
        (received(&mut here), received(&mut there)),
        (vec![r#"Line("hi")"#.into()], vec![r#"Line("hi")"#.into()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_sends_and_receives_when_it_is_back() {
    let engine = Engine::new(1);
    let ([_, cut_off], [one, two]) = two_processes(&engine).await;
    let mut lines = two.subscribe();
    cut_off.disconnect();
    one.submit(line("missed")).await.unwrap();
    two.try_submit(line("kept")).unwrap();
    let error = two.submit(line("given up")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::NotSent, .. }));
    assert!(received(&mut lines).is_empty());
    cut_off.reconnect();
    settle().await;
    assert_eq!(received(&mut lines), [r#"Line("missed")"#, r#"Line("kept")"#]);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_reply_or_request_is_lost_arrives_once() {
    for seed in 0..20 {
        let engine = Engine::new(seed);
        let ([process, _], [one, two]) = two_processes(&engine).await;
        let mut lines = two.subscribe();
        process.lose_next_reply();
        one.submit(line("reply lost")).await.unwrap();
        process.lose_next_request();
        one.submit(line("request lost")).await.unwrap();
        process.duplicate_next_append();
        one.submit(line("twice")).await.unwrap();
        process.interrupt_next_append();
        for text in ["one", "two", "three"] {
            one.try_submit(line(text)).unwrap();
        }
        settle().await;
        engine.append_foreign("lines", r#""last""#);
        settle().await;
        let texts = ["reply lost", "request lost", "twice", "one", "two", "three", "last"];
        assert_eq!(received(&mut lines), texts.map(|text| format!("Line({text:?})")), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_delivered_again_are_received_once() {
    let engine = Engine::new(1);
    let ([_, process], [one, two]) = two_processes(&engine).await;
    let mut lines = two.subscribe();
    one.submit(line("once")).await.unwrap();
    settle().await;
    process.deliver_again();
    settle().await;
    assert_eq!(received(&mut lines), [r#"Line("once")"#]);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_refuses_fails_or_is_kept_in_order() {
    let engine = Engine::new(1);
    let ([process, _], [one, two]) = two_processes(&engine).await;
    let mut lines = two.subscribe();
    process.refuse("OOM command not allowed when used memory > 'maxmemory'.");
    for text in ["one", "two"] {
        one.try_submit(line(text)).unwrap();
    }
    let error = one.submit(line("refused")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Refused { reason, .. } if reason.starts_with("OOM")));
    one.try_submit(line("three")).unwrap();
    settle().await;
    assert!(received(&mut lines).is_empty());
    process.accept();
    one.submit(line("four")).await.unwrap();
    settle().await;
    assert_eq!(received(&mut lines), ["one", "two", "three", "four"].map(|text| format!("Line({text:?})")));
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_timeout_leaves_the_outcome_unknown() {
    let engine = Engine::new(1);
    let ([process, _], [one, two]) = two_processes(&engine).await;
    let mut lines = two.subscribe();
    process.delay(Duration::from_secs(2));
    let error = one.submit(line("slow")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable { outcome: SendOutcome::Unknown, .. }));
    settle().await;
    assert_eq!(received(&mut lines), [r#"Line("slow")"#]);
    process.delay(Duration::from_millis(200));
    tokio::time::sleep(Duration::from_secs(3)).await;
    one.submit(line("late")).await.unwrap();
    settle().await;
    assert_eq!(received(&mut lines), [r#"Line("late")"#]);
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_trimmed_unread_are_a_gap_and_latest_values_among_them_arrive() {
    let engine = Engine::new(1);
    let processes = ["one", "two"].map(|name| engine.process(name));
    let (one, two): (Store<Market>, Store<Market>) = (open(&processes[0]).await, open(&processes[1]).await);
    let quote = |symbol: &str, bid| Market::Quote { symbol: symbol.into(), bid };
    let key = |symbol: &str| MarketKey { symbol: symbol.into() };
    one.submit(quote("forgotten", 1)).await.unwrap();
    settle().await;
    let mut reader = two.subscribe_to(key("AAPL"));
    processes[1].disconnect();
    one.submit(Market::Trade { symbol: "AAPL".into(), price: 7 }).await.unwrap();
    one.submit(quote("AAPL", 8)).await.unwrap();
    one.forget(&key("forgotten"));
    one.submit(Market::Trade { symbol: "AAPL".into(), price: 9 }).await.unwrap();
    settle().await;
    engine.trim("market", 1);
    processes[1].reconnect();
    settle().await;
    let quote_received = r#"Quote { symbol: "AAPL", bid: 8 }"#;
    let trade_received = r#"Trade { symbol: "AAPL", price: 9 }"#;
    assert_eq!(received(&mut reader), ["gap trimmed", quote_received, "gap trimmed", trade_received]);
    assert_eq!(two.latest(&key("AAPL")).as_deref(), Some(&quote("AAPL", 8)));
    assert!(two.latest(&key("forgotten")).is_none());
}

#[tokio::test(start_paused = true)]
async fn of_the_finishes_of_a_key_that_was_removed_in_between_the_last_counts_also_when_all_were_trimmed_unread() {
    let engine = Engine::new(1);
    let processes = ["one", "two"].map(|name| engine.process(name));
    let (one, two): (Store<Build>, Store<Build>) = (open(&processes[0]).await, open(&processes[1]).await);
    let key = BuildKey { build: 1 };
    let first = one.finish(&key).await.unwrap();
    settle().await;
    assert_eq!(two.finished(&key).await, Some(first));
    processes[1].disconnect();
    one.remove(&key).await.unwrap();
    let last = one.finish(&key).await.unwrap();
    one.submit(Build::Line { build: 2, text: "another".into() }).await.unwrap();
    engine.trim("builds", 1);
    processes[1].reconnect();
    settle().await;
    assert!(last > first);
    assert_eq!(two.finished(&key).await, Some(last));
}

#[tokio::test(start_paused = true)]
async fn an_older_state_of_the_engine_is_a_new_epoch_also_when_nobody_had_read_what_is_lost() {
    let engine = Engine::new(1);
    let (_, [one, two]) = two_processes(&engine).await;
    let mut lines = two.subscribe();
    one.submit(line("kept")).await.unwrap();
    let snapshot = engine.snapshot();
    one.submit(line("lost")).await.unwrap();
    engine.restore(&snapshot);
    one.submit(line("new")).await.unwrap();
    settle().await;
    let items = received(&mut lines);
    let restart = items.iter().position(|item| item == "gap restarted").unwrap();
    assert_eq!(items[restart + 1..], [r#"Line("kept")"#, r#"Line("new")"#]);
    assert_eq!(one.head(), two.head());
}

#[tokio::test(start_paused = true)]
async fn entries_of_other_programs_are_received_or_reported_as_unreadable() {
    let engine = Engine::new(1);
    let (_, [one, _two]) = two_processes(&engine).await;
    let mut lines = one.subscribe();
    engine.append_foreign("lines", r#""foreign""#);
    engine.append_foreign("lines", r#"{"of":"another shape"}"#);
    engine.append_unreadable("lines");
    engine.append_foreign("lines", r#""after""#);
    settle().await;
    let items = received(&mut lines);
    assert_eq!(items.first().map(String::as_str), Some(r#"Line("foreign")"#));
    assert_eq!(items.last().map(String::as_str), Some(r#"Line("after")"#));
    assert!(
        items[1..items.len() - 1].iter().all(|item| item.starts_with("gap unreadable")) && items.len() > 2,
        "{items:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_starts_again_with_the_history() {
    let engine = Engine::new(1);
    let ([process, _], [one, two]) = two_processes(&engine).await;
    one.submit(line("before")).await.unwrap();
    process.kill();
    settle().await;
    assert!(matches!(one.submit(line("dead")).await, Err(SubmitError::Closed { .. })));
    let again: Store<Line> = open(&process).await;
    assert_eq!(again.head(), two.head());
    again.submit(line("after")).await.unwrap();
}

/// Another type on the channel of `Line`.
#[store(queue, channel = "lines")]
#[derive(Serialize, Deserialize)]
struct Other(u32);

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_cannot_open_a_store_and_two_types_cannot_share_a_channel() {
    let engine = Engine::new(1);
    let process = engine.process("web-1");
    process.disconnect();
    let error = Store::<Line>::open(process.backend()).await.unwrap_err();
    assert_eq!(error.to_string(), "web-1 is disconnected from the simulated engine");
    process.reconnect();
    let _lines: Store<Line> = open(&process).await;
    let error = Store::<Other>::open(process.backend()).await.unwrap_err();
    assert_eq!(error.to_string(), "the channel `lines` holds messages of the type `Line`, not `Other`");
}

#[tokio::test(start_paused = true)]
async fn the_promises_hold_under_random_faults() {
    for seed in 0..100 {
        let (engine, checker) = (Engine::new(seed), Checker::new());
        let (processes, [one, two]) = two_processes(&engine).await;
        checker.watch("ada at one", &one);
        let mut bob = checker.watch("bob at two", &two);
        let faults = Faults::random(seed);
        let faults = if seed % 2 == 0 { faults } else { faults.with_losses("lines") };
        let submits = async {
            for number in 0..40 {
                let store = if number % 3 == 0 { &one } else { &two };
                if number % 4 == 0 {
                    checker.try_submit(store, line(&format!("{number}"))).ok();
                } else {
                    // It may fail: that is recorded too.
                    checker.submit(store, line(&format!("{number}"))).await.ok();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::join!(submits, faults.inject(&processes, Duration::from_secs(8)));
        bob.move_to(&one);
        tokio::time::sleep(Duration::from_secs(10)).await;
        checker.check().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}

#[store(queue, channel = "chat")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chat {
    Said(u32),
    #[ephemeral]
    Typing(u32),
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_message_follows_its_entry_and_is_too_old_after_5_s() {
    let engine = Engine::new(1);
    let processes = ["one", "two"].map(|name| engine.process(name));
    let (one, two): (Store<Chat>, Store<Chat>) = (open(&processes[0]).await, open(&processes[1]).await);
    let (mut here, mut there) = (one.subscribe(), two.subscribe());
    let id = one.submit(Chat::Said(1)).await.unwrap();
    assert_eq!(one.submit(Chat::Typing(2)).await.unwrap(), id);
    settle().await;
    for reader in [&mut here, &mut there] {
        assert_eq!(received(reader), ["Said(1)", "Typing(2)"]);
    }
    // A process that is cut off for a while gets what is young.
    processes[1].disconnect();
    one.submit(Chat::Typing(3)).await.unwrap();
    one.submit(Chat::Said(4)).await.unwrap();
    two.try_submit(Chat::Typing(5)).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    one.submit(Chat::Typing(6)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    processes[1].reconnect();
    settle().await;
    assert_eq!(received(&mut there), ["Said(4)", "Typing(6)"]);
    assert_eq!(received(&mut here), ["Said(4)", "Typing(6)"], "what it was too slow for is gone there too");
}
