use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
enum Run {
    Line(String),
    #[finish]
    Done,
}

#[store(queue)]
#[derive(Serialize)]
enum Job {
    #[finish]
    #[latest]
    Progress(u8),
    #[finish]
    Done,
}

fn main() {}
