use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Job {
    Begun,
    Open,
    Error { reason: String },
}

#[store(queue)]
#[derive(Serialize)]
enum Renamed {
    #[serde(rename = "")]
    Empty,
    #[serde(rename(serialize = "a\nb"))]
    TwoLines,
    #[serde(rename = "tornadose:gap")]
    Gap,
    #[serde(rename(deserialize = "error"))]
    Fine,
}

#[store(queue)]
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Twice {
    LogIn,
    Login,
    #[serde(rename = "login")]
    Entered,
}

// These have no names.
#[store(queue)]
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tagged {
    Open,
    Error,
}

fn main() {}
