use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
enum Twin {
    Online,
    #[tombstone]
    #[latest]
    Gone,
    #[tombstone]
    #[queue]
    Lost,
    #[tombstone(all)]
    Removed,
    #[tombstone]
    #[tombstone]
    Deleted,
}

fn main() {}
