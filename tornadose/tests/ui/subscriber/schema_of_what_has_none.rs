use schemars::JsonSchema;
use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

/// The message says nothing of a schema.
#[subscriber(sse, store = Tick, schema)]
struct Ticks;

#[store(queue, schema)]
#[derive(Serialize, JsonSchema)]
struct Said {
    text: String,
}

#[derive(Deserialize)]
struct Say;

#[derive(Serialize)]
struct Reply;

/// Neither what it takes nor what it returns has a schema.
#[subscriber(ws, store = Said, receive = Self::receive, schema)]
struct Room;

impl Room {
    async fn receive(&mut self, _: Say, _: &Store<Said>) -> Result<Reply, String> {
        Ok(Reply)
    }
}

/// Says nothing of a schema.
#[subscriber(sse, store = Said)]
struct Quiet;

fn main() {
    let _ = tornadose::schema().route::<Quiet>("/quiet");
}
