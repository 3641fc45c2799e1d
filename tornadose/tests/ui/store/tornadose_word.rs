use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Line {
    #[tornadose(lates)]
    Said {
        #[tornadose(key)]
        #[key]
        room: String,
        #[tornadose(key(1))]
        of: u8,
    },
    #[tornadose]
    #[tornadose()]
    #[tornadose = "queue"]
    Left {
        #[key]
        #[tornadose(query)]
        room: String,
        #[tornadose(key, key)]
        of: u8,
    },
}

fn main() {}
