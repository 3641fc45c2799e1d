use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Job {
    Begun,
    #[serde(skip)]
    Paused,
    #[serde(skip_serializing)]
    Failed,
}

fn main() {}
