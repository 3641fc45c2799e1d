use tornadose::prelude::*;

#[derive(Clone, Serialize)]
struct Whole(String);

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token(String),
    #[snapshot(apply = append)]
    Text(Whole),
}

fn append(text: &mut Whole, _: &Answer) {
    text.0.clear();
}

fn main() {}
