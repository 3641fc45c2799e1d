use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    #[serde(skip)]
    room: String,
    text: String,
}

#[store(queue)]
#[derive(Serialize)]
struct Word {
    #[serde(rename = "r", skip_serializing)]
    #[key]
    room: String,
    text: String,
}

fn main() {}
