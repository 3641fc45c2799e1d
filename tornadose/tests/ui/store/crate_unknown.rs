use tornadose::prelude::*;

#[store(latest, crate = kit::tornadose)]
#[derive(Serialize)]
enum Line {
    Said {
        #[key]
        room: String,
    },
    #[latest]
    Left {
        #[tornadose(key)]
        room: String,
    },
}

fn main() {}
