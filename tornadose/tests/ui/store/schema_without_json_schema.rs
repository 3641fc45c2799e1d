use tornadose::prelude::*;

#[store(latest, schema)]
#[derive(Serialize)]
struct Tick(f64);

#[store(queue, schema = true)]
#[derive(Serialize, schemars::JsonSchema)]
struct Said {
    text: String,
}

fn main() {}
