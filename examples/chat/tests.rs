use tornadose::simulation::Engine;
use tornadose_test::{Harness, Transport, WsClient, assert_transcript, resume_at_every_byte};

use super::*;

#[derive(Serialize)]
struct Say {
    r#type: &'static str,
    text: &'static str,
}

const JOIN: &str = r#"{"type":"join"}"#;

fn app() -> Harness {
    Harness::new(router(&Store::new()))
}

async fn enter(app: &Harness, room: &str, user: &str) -> WsClient {
    app.client(user).ws(format!("/rooms/{room}?user={user}")).await
}

#[tornadose_test::test]
async fn two_in_a_room_see_each_other_and_a_third_sees_the_history() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "rust", "bob").await;
    ada.send_text(JOIN).await;
    bob.send_text(r#"{"type":"say","text":"hi"}"#).await;
    enter(&app, "rust", "eve").await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    bob > GET /rooms/rust?user=bob upgrade websocket
    bob ~ open 101
    ada > {"type":"join"}
    ada < joined #1 {"room":"rust","user":"ada"}
    bob < joined #1 {"room":"rust","user":"ada"}
    bob > {"type":"say","text":"hi"}
    ada < said #2 {"room":"rust","user":"bob","text":"hi"}
    bob < said #2 {"room":"rust","user":"bob","text":"hi"}
    eve > GET /rooms/rust?user=eve upgrade websocket
    eve ~ open 101
    eve < joined #1 {"room":"rust","user":"ada"}
    eve < said #2 {"room":"rust","user":"bob","text":"hi"}
    "#);
}

#[tornadose_test::test]
async fn who_asks_learns_the_id_of_the_event_before_it_comes() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "rust", "bob").await;
    let id: String = ada.ask(&Say { r#type: "say", text: "hi" }).await;
    assert_eq!(bob.next_event().await.id, Some(id));
    assert_eq!(ada.send_ask(&Say { r#type: "say", text: " " }).await.error().await, "there is nothing to say");
    assert_transcript!(ada, @r##"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada > ask 1 {"type":"say","text":"hi"}
    ada < tornadose:reply 1 "#1"
    ada < said #1 {"room":"rust","user":"ada","text":"hi"}
    ada > ask 2 {"type":"say","text":" "}
    ada < tornadose:error 2 {"reason":"there is nothing to say"}
    "##);
}

#[tornadose_test::test]
async fn rooms_are_separate() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    let bob = enter(&app, "go", "bob").await;
    ada.send_text(JOIN).await;
    bob.quiet().await;
    bob.send_text(JOIN).await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    bob > GET /rooms/go?user=bob upgrade websocket
    bob ~ open 101
    ada > {"type":"join"}
    ada < joined #1 {"room":"rust","user":"ada"}
    bob > {"type":"join"}
    bob < joined #2 {"room":"go","user":"bob"}
    "#);
}

#[tornadose_test::test]
async fn a_client_that_reconnects_misses_nothing() {
    let app = app();
    let ada = app.client("ada").reconnects().ws("/rooms/rust?user=ada").await;
    let bob = enter(&app, "rust", "bob").await;
    bob.send_text(r#"{"type":"say","text":"seen"}"#).await;
    ada.cut().await;
    bob.send_text(r#"{"type":"say","text":"missed"}"#).await;
    ada.reconnected().await;
    assert_transcript!(app, only(["ada"]), @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada < said #1 {"room":"rust","user":"bob","text":"seen"}
    ada ! cut
    after 3s
    ada > GET /rooms/rust?user=ada&last_event_id=#1 upgrade websocket
    ada ~ open 101
    ada < said #2 {"room":"rust","user":"bob","text":"missed"}
    "#);
    bob.skip(2).await;
}

#[tornadose_test::test]
async fn a_room_resumes_at_every_byte() {
    let new_app = || {
        let store = Store::new();
        (router(&store), store)
    };
    let submit_events = async |store: Store<RoomEvent>| {
        let (room, user) = ("rust".to_owned(), "bob".to_owned());
        store.submit(RoomEvent::Joined { room: room.clone(), user: user.clone() }).await.unwrap();
        for text in ["one", "two"] {
            let said = RoomEvent::Said { room: room.clone(), user: user.clone(), text: text.into() };
            store.submit(said).await.unwrap();
        }
    };
    resume_at_every_byte(new_app, "/rooms/rust?user=ada", submit_events).over(Transport::Ws).await;
}

#[tornadose_test::test]
async fn only_root_enters_staff_and_a_name_is_required() {
    let app = app();
    enter(&app, "staff", "ada").await;
    enter(&app, "staff", "root").await;
    app.client("nobody").ws("/rooms/rust").await;
    app.client("empty").ws("/rooms/rust?user=").await;
    app.client("reader").sse("/rooms/rust?user=ada").await;
    assert_transcript!(app, @r"
    ada > GET /rooms/staff?user=ada upgrade websocket
    ada ~ answer 403 code: 403\n\nname: Forbidden\n\nbrief: `staff` is for `root` only
    root > GET /rooms/staff?user=root upgrade websocket
    root ~ open 101
    nobody > GET /rooms/rust upgrade websocket
    nobody ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: query parameter `user`: missing, expected text
    empty > GET /rooms/rust?user= upgrade websocket
    empty ~ answer 400 code: 400\n\nname: Bad Request\n\nbrief: say who you are: `?user=ada`
    reader > GET /rooms/rust?user=ada
    reader ~ answer 426 code: 426\n\nname: Upgrade Required\n\nbrief: this stream is a WebSocket: connect with `ws:` or `wss:`
    ");
}

#[tornadose_test::test]
async fn an_invalid_message_is_reported_to_its_sender_who_stays_connected() {
    let app = app();
    let ada = enter(&app, "rust", "ada").await;
    ada.send_text("hello?").await;
    ada.send_text(r#"{"type":"say","text":" "}"#).await;
    ada.send_text(JOIN).await;
    assert_transcript!(app, @r#"
    ada > GET /rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    ada > "hello?"
    ada < tornadose:error {"reason":"expected value at line 1 column 1"}
    ada > {"type":"say","text":" "}
    ada < tornadose:error {"reason":"there is nothing to say"}
    ada > {"type":"join"}
    ada < joined #1 {"room":"rust","user":"ada"}
    "#);
}

#[tornadose_test::test]
async fn a_room_goes_on_over_three_processes_while_one_of_them_is_cut_off() {
    let engine = Engine::new(7);
    let processes = ["one", "two", "three"].map(|name| engine.process(name));
    let mut service = Router::new();
    for process in &processes {
        let store = Store::open(process.backend()).await.unwrap();
        service = service.push(Router::with_path(process.name()).push(router(&store)));
    }
    let app = Harness::new(service);
    let [ada, bob, eve] = [("ada", "one"), ("bob", "two"), ("eve", "three")]
        .map(|(user, process)| app.client(user).ws(format!("/{process}/rooms/rust?user={user}")));
    let (ada, bob, _eve) = (ada.await, bob.await, eve.await);
    ada.send_text(JOIN).await;
    processes[1].disconnect();
    ada.send_text(r#"{"type":"say","text":"is anybody there?"}"#).await;
    bob.send_text(r#"{"type":"say","text":"yes"}"#).await;
    app.advance(std::time::Duration::from_secs(3)).await;
    processes[1].reconnect();
    bob.send_text(r#"{"type":"say","text":"now I am"}"#).await;
    assert_transcript!(app, @r#"
    ada > GET /one/rooms/rust?user=ada upgrade websocket
    ada ~ open 101
    bob > GET /two/rooms/rust?user=bob upgrade websocket
    bob ~ open 101
    eve > GET /three/rooms/rust?user=eve upgrade websocket
    eve ~ open 101
    ada > {"type":"join"}
    ada < joined #1 {"room":"rust","user":"ada"}
    bob < joined #1 {"room":"rust","user":"ada"}
    eve < joined #1 {"room":"rust","user":"ada"}
    ada > {"type":"say","text":"is anybody there?"}
    ada < said #2 {"room":"rust","user":"ada","text":"is anybody there?"}
    eve < said #2 {"room":"rust","user":"ada","text":"is anybody there?"}
    bob > {"type":"say","text":"yes"}
    after 3s
    bob < tornadose:error {"reason":"the message was not sent: the backend is unreachable, or too many messages wait for it"}
    bob < said #2 {"room":"rust","user":"ada","text":"is anybody there?"}
    bob > {"type":"say","text":"now I am"}
    ada < said #3 {"room":"rust","user":"bob","text":"now I am"}
    bob < said #3 {"room":"rust","user":"bob","text":"now I am"}
    eve < said #3 {"room":"rust","user":"bob","text":"now I am"}
    "#);
}
