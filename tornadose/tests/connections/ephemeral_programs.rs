//! Programs with messages that mean nothing a moment later, as their own tests would have them: a chat that shows who is
//! typing, a canvas that shows everybody's cursor, and a game. Behind each stands what it takes without `#[ephemeral]`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tornadose::StreamHandler;
use tornadose::prelude::*;
use tornadose_test::{Harness, assert_transcript};

use super::harness::{harness, secs};

fn app<S: Subscriber>(store: &Store<S::Message>) -> Harness {
    harness(Router::with_path("feed").get(StreamHandler::<S>::new(store)))
}

/// Counts the lines of code between the marks of a program in this file.
fn lines_of(program: &str) -> usize {
    let lines = include_str!("ephemeral_programs.rs").lines().map(str::trim);
    let after = lines.skip_while(|line| *line != format!("// Begin: {program}.")).skip(1);
    after.take_while(|line| *line != "// End.").filter(|line| !line.is_empty()).count()
}

#[test]
fn each_program_is_shorter_than_without() {
    let of = |program: &str| (lines_of(program), lines_of(&format!("{program} without")));
    assert_eq!((of("typing"), of("cursors"), of("shots")), ((12, 32), (12, 24), (6, 7)));
    assert_eq!(lines_of("the filter of shots without"), 5, "beside the message");
}

// --- A chat that shows who is typing ---------------------------------------------------------------------------------

mod chat {
    use tornadose::prelude::*;

    #[store(queue, capacity = 200)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Chat {
        Said {
            #[key]
            room: u32,
            user: u32,
            text: String,
        },
        // Begin: typing.
        #[ephemeral]
        Typing {
            #[key]
            room: u32,
            user: u32,
        },
    }

    impl Room {
        async fn typing(&mut self, store: &Store<Chat>) {
            store.submit(Chat::Typing { room: self.room, user: self.user }).await.ok();
        }
    }
    // End.

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Input {
        Say(String),
        Typing,
    }

    #[subscriber(ws, store = Chat, authorize = public, replay = 50, receive = Self::take)]
    pub(super) struct Room {
        #[key]
        #[query]
        room: u32,
        #[query]
        user: u32,
    }

    impl Room {
        async fn take(&mut self, input: Input, store: &Store<Chat>) {
            match input {
                Input::Say(text) => {
                    store.submit(Chat::Said { room: self.room, user: self.user, text }).await.ok();
                }
                Input::Typing => self.typing(store).await,
            }
        }
    }
}

#[tornadose_test::test]
async fn a_chat_shows_who_is_typing_and_keeps_what_was_said() {
    let store = Store::new();
    let app = app::<chat::Room>(&store);
    let ada = app.client("ada").ws("/feed?room=1&user=1").await;
    let bob = app.client("bob").ws("/feed?room=1&user=2").await;
    ada.send(&"typing").await;
    ada.send(&json!({ "say": "hi" })).await;
    bob.send(&"typing").await;
    // A page that comes later shows what was said, and not who was typing.
    let eve = app.client("eve").ws("/feed?room=1&user=3").await;
    ada.skip(3).await;
    bob.skip(3).await;
    eve.skip(1).await;
    assert_transcript!(app, @r#"
    ada > GET /feed?room=1&user=1 upgrade websocket
    ada ~ open 101
    bob > GET /feed?room=1&user=2 upgrade websocket
    bob ~ open 101
    ada > "typing"
    ada < typing {"room":1,"user":1}
    bob < typing {"room":1,"user":1}
    ada > {"say":"hi"}
    ada < said #1 {"room":1,"user":1,"text":"hi"}
    bob < said #1 {"room":1,"user":1,"text":"hi"}
    bob > "typing"
    ada < typing {"room":1,"user":2}
    bob < typing {"room":1,"user":2}
    eve > GET /feed?room=1&user=3 upgrade websocket
    eve ~ open 101
    eve < said #1 {"room":1,"user":1,"text":"hi"}
    "#);
}

/// The same by `latest` values, which somebody has to drop: after a while, and when a connection ends.
mod chat_without {
    use super::{AbortHandle, Duration};
    use tornadose::prelude::*;

    #[store(queue, capacity = 200)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Chat {
        // Begin: typing without.
        #[latest]
        Typing {
            #[key]
            room: u32,
            #[slot]
            user: u32,
        },
        #[tombstone]
        Stopped {
            #[key]
            room: u32,
            #[slot]
            user: u32,
        },
    }

    impl Page {
        async fn typing(&mut self, (): (), store: &Store<Chat>) {
            let (Self { room, user, .. }, later) = (&*self, store.clone());
            let (room, user) = (*room, *user);
            store.submit(Chat::Typing { room, user }).await.ok();
            let stops = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                later.submit(Chat::Stopped { room, user }).await.ok();
            });
            if let Some(before) = self.stops.replace(stops.abort_handle()) {
                before.abort();
            }
        }

        async fn left(self, store: &Store<Chat>) {
            store.submit(Chat::Stopped { room: self.room, user: self.user }).await.ok();
        }
    }
    // End.

    #[subscriber(ws, store = Chat, authorize = public, receive = Self::typing, closed = Self::left)]
    pub(super) struct Page {
        #[key]
        #[query]
        room: u32,
        #[query]
        user: u32,
        #[state]
        stops: Option<AbortHandle>,
    }
}

#[tornadose_test::test]
async fn without_ephemeral_messages_a_page_is_told_when_typing_stops() {
    let store = Store::new();
    let app = app::<chat_without::Page>(&store);
    let ada = app.client("ada").ws("/feed?room=1&user=1").await;
    ada.send(&()).await;
    app.advance(secs(6)).await;
    ada.skip(2).await;
    assert_transcript!(ada, @r#"
    ada > GET /feed?room=1&user=1 upgrade websocket
    ada ~ open 101
    ada > null
    ada < typing #1 {"room":1,"user":1}
    after 5s
    ada < stopped #2 {"room":1,"user":1}
    "#);
}

// --- A canvas that shows everybody's cursor --------------------------------------------------------------------------

mod canvas {
    use tornadose::prelude::*;

    // Begin: cursors.
    #[store(queue)]
    #[derive(Clone, Copy, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Canvas {
        #[ephemeral]
        Moved {
            #[key]
            board: u32,
            user: u32,
            x: u32,
        },
    }
    // End.

    #[subscriber(
        ws, store = Canvas, authorize = public, throttle = "50ms", filter = Self::is_of_others, receive = Self::moved
    )]
    pub(super) struct Cursors {
        #[key]
        #[query]
        board: u32,
        #[query]
        user: u32,
    }

    impl Cursors {
        fn is_of_others(&self, Canvas::Moved { user, .. }: &Canvas) -> bool {
            *user != self.user
        }

        async fn moved(&mut self, x: u32, store: &Store<Canvas>) {
            store.submit(Canvas::Moved { board: self.board, user: self.user, x }).await.ok();
        }
    }
}

#[tornadose_test::test]
async fn a_canvas_shows_the_cursors_of_others_and_writes_them_together() {
    let store = Store::new();
    let app = app::<canvas::Cursors>(&store);
    let mut pages = Vec::new();
    for (user, name) in ["ada", "bob", "eve"].into_iter().enumerate() {
        pages.push(app.client(name).ws(format!("/feed?board=1&user={user}")).await);
    }
    // Two of them move 60 times a second, for a second. Each move is one message.
    for x in 0..60 {
        for page in &pages[..2] {
            page.send(&x).await;
        }
        app.advance(Duration::from_micros(16_667)).await;
    }
    app.advance(secs(1)).await;
    for (index, moves) in [60, 60, 120].into_iter().enumerate() {
        let seen: Vec<Value> = pages[index].drain().await;
        assert_eq!(seen.len(), moves);
        for user in (0..2).filter(|user| *user != index) {
            let of_user = seen.iter().map(|event| &event["moved"]).filter(|moved| moved["user"] == user);
            let of_user = of_user.filter_map(|moved| moved["x"].as_u64());
            assert!(of_user.eq(0..60), "in order");
        }
    }
    // A page that comes now shows no cursor until somebody moves.
    let late = app.client("late").ws("/feed?board=1&user=9").await;
    late.quiet().await;
}

/// The same by `latest` values: the cursors of those who have left have to be dropped.
mod canvas_without {
    use tornadose::prelude::*;

    // Begin: cursors without.
    #[store(latest)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Canvas {
        Moved {
            #[key]
            board: u32,
            #[slot]
            user: u32,
            x: u32,
        },
        #[tombstone]
        Left {
            #[key]
            board: u32,
            #[slot]
            user: u32,
        },
    }

    impl Cursors {
        async fn left(self, store: &Store<Canvas>) {
            store.submit(Canvas::Left { board: self.board, user: self.user }).await.ok();
        }
    }
    // End.

    #[subscriber(ws, store = Canvas, authorize = public, receive = Self::moved, closed = Self::left)]
    pub(super) struct Cursors {
        #[key]
        #[query]
        board: u32,
        #[query]
        user: u32,
    }

    impl Cursors {
        async fn moved(&mut self, x: u32, store: &Store<Canvas>) {
            store.submit(Canvas::Moved { board: self.board, user: self.user, x }).await.ok();
        }
    }
}

#[tornadose_test::test]
async fn without_ephemeral_messages_a_page_is_told_who_has_left_the_canvas() {
    let store = Store::new();
    let app = app::<canvas_without::Cursors>(&store);
    let ada = app.client("ada").ws("/feed?board=1&user=1").await;
    let bob = app.client("bob").ws("/feed?board=1&user=2").await;
    bob.send(&7).await;
    bob.skip(1).await;
    bob.close().await;
    ada.next_containing(json!({ "x": 7 })).await;
    ada.next_containing(json!({ "user": 2 })).await;
}

// --- A game at 30 Hz -------------------------------------------------------------------------------------------------

/// Each tick has the whole state, so that only the newest counts: `latest`, which a slow player skips. What has to be heard
/// at once and soon means nothing is ephemeral.
mod game {
    use tornadose::prelude::*;

    #[store(queue, capacity = 100)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Game {
        #[latest]
        Tick {
            #[key]
            game: u32,
            tick: u32,
        },
        // Begin: shots.
        #[ephemeral]
        Shot {
            #[key]
            game: u32,
            by: u32,
        },
        // End.
        Scored {
            #[key]
            game: u32,
            by: u32,
        },
    }

    #[subscriber(ws, store = Game, authorize = public, throttle = "33ms")]
    pub(super) struct Player {
        #[key]
        #[query]
        game: u32,
    }
}

#[tornadose_test::test]
async fn a_game_sends_the_newest_state_each_shot_and_each_score() {
    use game::Game;

    let store = Store::new();
    let app = app::<game::Player>(&store);
    let player = app.client("player").ws("/feed?game=1").await;
    for tick in 0..60 {
        store.try_submit(Game::Tick { game: 1, tick }).unwrap();
        match tick {
            10 | 30 => drop(store.try_submit(Game::Shot { game: 1, by: tick }).unwrap()),
            40 => drop(store.try_submit(Game::Scored { game: 1, by: 7 }).unwrap()),
            _ => {}
        }
        // The world steps at 60 Hz, and a page gets at most 30 writes a second.
        app.advance(Duration::from_micros(16_667)).await;
    }
    app.advance(secs(1)).await;
    let seen: Vec<Value> = player.drain().await;
    let (ticks, others): (Vec<_>, Vec<_>) = seen.iter().partition(|event| event["tick"].is_object());
    assert!((28..=33).contains(&ticks.len()), "{}", ticks.len());
    let other = |name: &str, by: u32| json!({ name: { "game": 1, "by": by } });
    assert_eq!(others, [&other("shot", 10), &other("shot", 30), &other("scored", 7)]);
    // A player that comes later gets the state alone.
    let late = app.client("late").ws("/feed?game=1").await;
    late.next_containing(json!({ "tick": 59 })).await;
    late.quiet().await;
}

/// The same by queue messages: they carry a time, by which a player that comes back is spared the old ones.
mod game_without {
    use tokio::time::Instant;
    use tornadose::prelude::*;

    #[store(queue, capacity = 100)]
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Game {
        // Begin: shots without.
        Shot {
            #[key]
            game: u32,
            by: u32,
            #[serde(skip)]
            at: Instant,
        },
        // End.
    }

    // Begin: the filter of shots without.
    impl Player {
        fn is_fresh(&self, Game::Shot { at, .. }: &Game) -> bool {
            at.elapsed().as_secs() < self.age_max
        }
    }
    // End.

    #[subscriber(ws, store = Game, authorize = public, replay = all, filter = Self::is_fresh)]
    pub(super) struct Player {
        #[key]
        #[query]
        game: u32,
        #[query("s")]
        age_max: u64,
    }
}

#[tornadose_test::test]
async fn without_ephemeral_messages_old_shots_are_filtered() {
    let store = Store::new();
    let app = app::<game_without::Player>(&store);
    for by in 1..3 {
        store.try_submit(game_without::Game::Shot { game: 1, by, at: tokio::time::Instant::now() }).unwrap();
        app.advance(secs(4)).await;
    }
    let player = app.client("player").ws("/feed?game=1&s=5").await;
    player.next_containing(json!({ "by": 2 })).await;
    player.quiet().await;
}
