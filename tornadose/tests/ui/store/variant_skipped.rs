use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Job {
    Begun {
        #[key]
        id: u8,
    },
    #[serde(skip)]
    Paused,
    #[serde(skip_serializing)]
    Failed,
}

fn main() {}
