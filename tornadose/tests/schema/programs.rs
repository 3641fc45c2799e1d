//! Programs that write no type by hand, and the committed files that are generated from them.

#![allow(dead_code, reason = "the programs are only described")]

use schemars::JsonSchema;
use serde_json::{Value, json};
use tornadose::prelude::*;
use tornadose::schema::Streams;

/// A random number.
#[store(latest, schema)]
#[derive(Serialize, JsonSchema)]
struct Tick(f64);

/// A random number, once a second.
#[subscriber(sse, store = Tick, schema)]
struct Ticks;

/// The dashboard of a tenant.
#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Dashboard {
    /// A line for everybody, until the next.
    #[latest]
    Banner {
        #[key]
        tenant: String,
        text: String,
        level: Level,
    },
    Widget {
        #[key]
        tenant: String,
        name: String,
        /// The values of the last hour, the oldest first.
        values: Vec<f64>,
        owner: Option<User>,
    },
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warning,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct User {
    name: String,
    /// In minutes before UTC.
    #[serde(default)]
    offset: i16,
}

#[subscriber(sse, store = Dashboard, authorize = public, replay = 20, schema)]
struct TenantDashboard {
    #[key]
    #[header("x-tenant")]
    tenant: String,
}

/// The best offers for a symbol.
#[store(latest, schema)]
#[derive(Serialize, JsonSchema)]
struct Quote {
    #[key]
    symbol: String,
    bid: f64,
    ask: f64,
}

/// The quotes of a list of symbols, which the client changes while it is connected.
#[subscriber(sse, ws, store = Quote, authorize = public, watch = public, schema)]
struct Quotes {
    #[keys(symbol)]
    #[query("symbols", separator = ",")]
    symbols: Vec<String>,
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Job {
    Line {
        #[key]
        job: u64,
        text: String,
    },
    #[finish]
    Done {
        #[key]
        job: u64,
        exit_code: i32,
    },
}

/// The log of a job, which ends with it.
#[subscriber(sse, store = Job, authorize = public, replay = all, schema)]
struct JobLog {
    #[key]
    job: u64,
}

#[store(latest, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Twin {
    #[latest(ttl = "30s")]
    Reading {
        #[key]
        device: u32,
        #[slot]
        sensor: String,
        value: f64,
    },
    Desired {
        #[key]
        device: u32,
        #[slot]
        setting: Setting,
        value: Value,
    },
    #[tombstone]
    Gone {
        #[key]
        device: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Setting {
    Interval,
    Range,
}

/// All devices.
#[subscriber(sse, store = Twin, all_keys, schema)]
struct Twins;

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Board {
    Drawn {
        #[key]
        board: String,
        stroke: Vec<(f32, f32)>,
    },
    #[ephemeral]
    Cursor {
        #[key]
        board: String,
        user: String,
        at: (f32, f32),
    },
    Cleared {
        #[key]
        board: String,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Action {
    Draw {
        stroke: Vec<(f32, f32)>,
    },
    Move {
        at: (f32, f32),
        #[serde(default)]
        by: Option<User>,
    },
    Clear,
}

/// The reply to an action.
#[derive(Serialize, JsonSchema)]
struct Accepted {
    number: u64,
}

#[subscriber(ws, store = Board, authorize = public, receive = Self::act, schema)]
struct BoardFeed {
    #[key]
    board: String,
    #[query]
    user: String,
    #[query]
    color: Option<String>,
    #[cookie]
    session: Option<String>,
    #[state]
    number: u64,
}

impl BoardFeed {
    async fn act(&mut self, action: Action, store: &Store<Board>) -> Result<Accepted, String> {
        let (board, user) = (self.board.clone(), self.user.clone());
        let message = match action {
            Action::Draw { stroke } => Board::Drawn { board, stroke },
            Action::Move { at, by } => Board::Cursor { board, user: by.map_or(user, |by| by.name), at },
            Action::Clear => Board::Cleared { board },
        };
        store.submit(message).await.map_err(|error| error.to_string())?;
        self.number += 1;
        Ok(Accepted { number: self.number })
    }
}

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Task {
    id: u64,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<u64>,
}

/// A list that is loaded from a database, and its changes.
#[subscriber(sse, store = Task, load = Self::load, schema)]
struct Tasks;

impl Tasks {
    async fn load(&self, _: &Store<Task>) -> Result<Vec<Task>, StatusError> {
        Ok(Vec::new())
    }
}

/// Where everybody is, 30 times a second.
#[store(latest, schema)]
#[derive(Serialize, JsonSchema)]
struct Position {
    #[key]
    game: u32,
    #[key]
    region: u8,
    #[slot]
    player: u32,
    x: f32,
    y: f32,
}

#[subscriber(ws, store = Position, authorize = public, watch = public, throttle = "33ms", schema)]
struct Game {
    #[key]
    game: u32,
    #[key]
    region: u8,
}

fn streams() -> Streams {
    tornadose::schema()
        .title("Programs")
        .version("1.0.0")
        .route::<Ticks>("/ticks")
        .route::<TenantDashboard>("/dashboard")
        .route::<Quotes>("/quotes")
        .route::<JobLog>("/jobs/{job:num}")
        .route::<Twins>("/twins")
        .route::<BoardFeed>("/boards/{board}")
        .route::<Tasks>("/tasks")
        .route::<Game>("/games/{game}/{region}")
}

#[test]
fn the_committed_files_are_current() {
    let folder = "tests/schema/generated";
    streams().typescript().assert_committed(format!("{folder}/programs.d.ts"));
    streams().asyncapi().assert_committed(format!("{folder}/programs.asyncapi.json"));
}

/// Returns an event as clients receive it, and where it is described.
#[expect(clippy::needless_pass_by_value, reason = "each message is made for it")]
fn sample(channel: &str, message: impl Message) -> Value {
    let event = message.event().unwrap();
    let data: Value = serde_json::from_str(event.data()).unwrap();
    json!({ "channel": channel, "message": event.name().unwrap_or("message"), "payload": data })
}

/// The data of real events, which `clients/types/check.mjs` validates by the schemas that describe them.
#[test]
fn the_committed_events_are_current() {
    let (tenant, board) = (String::from("1"), String::from("a"));
    let user = || Some(User { name: "ada".into(), offset: 60 });
    let banner = Dashboard::Banner { tenant: tenant.clone(), text: "hi".into(), level: Level::Warning };
    let widget = |owner| Dashboard::Widget { tenant: tenant.clone(), name: "load".into(), values: vec![0.5], owner };
    let desired = Twin::Desired { device: 7, setting: Setting::Range, value: json!([1, null]) };
    let events = [
        sample("Ticks-sse", Tick(0.5)),
        sample("TenantDashboard-sse", banner),
        sample("TenantDashboard-sse", widget(user())),
        sample("TenantDashboard-sse", widget(None)),
        sample("Quotes-sse", Quote { symbol: "AAPL".into(), bid: 1.0, ask: 2.0 }),
        sample("JobLog-sse", Job::Line { job: 7, text: "made".into() }),
        sample("JobLog-sse", Job::Done { job: 7, exit_code: -1 }),
        sample("Twins-sse", Twin::Reading { device: 7, sensor: "heat".into(), value: 20.5 }),
        sample("Twins-sse", desired),
        sample("Twins-sse", Twin::Gone { device: 7 }),
        sample("Tasks-sse", Task { id: 1, title: "write".into(), due_at: None }),
        sample("Tasks-sse", Task { id: 2, title: "read".into(), due_at: Some(9) }),
    ];
    let framed = |event: Value| {
        let data = json!({ "event": event["message"], "data": event["payload"] });
        json!({ "channel": "BoardFeed-ws", "message": event["message"], "payload": data })
    };
    let texts = [
        json!({ "channel": "BoardFeed-ws", "message": "text", "payload": { "type": "move", "at": [1, 2], "by": { "name": "ada" } } }),
        json!({ "channel": "BoardFeed-ws", "message": "tornadose-ask", "payload": { "tornadose:ask": 1, "data": { "type": "clear" } } }),
        json!({ "channel": "BoardFeed-ws", "message": "tornadose-reply", "payload": {
            "event": "tornadose:reply", "ask": 1, "data": Accepted { number: 1 },
        } }),
        json!({ "channel": "Quotes-ws", "message": "tornadose-watch", "payload": { "tornadose:watch": ["AAPL"], "since": "a-1" } }),
        framed(sample("", Board::Drawn { board: board.clone(), stroke: vec![(1.0, 2.0)] })),
        framed(sample("", Board::Cursor { board: board.clone(), user: "ada".into(), at: (1.0, 2.0) })),
        framed(sample("", Board::Cleared { board })),
    ];
    let all: Vec<Value> = events.into_iter().chain(texts).collect();
    compare("tests/schema/generated/programs.events.json", &format!("{:#}\n", Value::from(all)));
}

/// Compares a committed file, or writes it as those of the library are written.
fn compare(path: &str, text: &str) {
    if std::env::var_os("TORNADOSE_WRITE").is_some_and(|value| value == "1") {
        std::fs::write(path, text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "run `TORNADOSE_WRITE=1 cargo test`");
}

#[test]
fn the_routes_show_among_those_of_salvo() {
    let own = salvo_oapi::OpenApi::new("Programs", "1.0.0").openapi_version(salvo_oapi::OpenApiVersion::Version3_2);
    let document = serde_json::to_value(own.merge(streams().openapi())).unwrap();
    let item =
        &document["paths"]["/jobs/{job}"]["get"]["responses"]["200"]["content"]["text/event-stream"]["itemSchema"];
    assert_eq!(item["anyOf"][0]["properties"]["event"]["const"], "line", "{item}");
    let data = &item["anyOf"][0]["properties"]["data"];
    assert_eq!(data["contentSchema"]["required"], json!(["job", "text"]), "{data}");
    compare("tests/schema/generated/programs.openapi.json", &format!("{document:#}\n"));
}

#[test]
fn a_path_without_what_its_subscriber_reads_is_reported() {
    let streams = tornadose::schema().route::<JobLog>("/jobs");
    let panic = std::panic::catch_unwind(|| streams.asyncapi().assert_committed("tests/schema/never")).unwrap_err();
    let reason = panic.downcast_ref::<String>().unwrap();
    assert_eq!(
        reason,
        "`JobLog` reads the part `{job}` of the path, which `/jobs` does not have: give `route` the whole path"
    );
}

#[test]
fn streams_of_one_name_are_told_apart() {
    let types = tornadose::schema().route::<Ticks>("/a").route::<Ticks>("/b").typescript().to_string();
    assert!(types.contains("interface Ticks extends") && types.contains("interface Ticks2 extends"), "{types}");
}
