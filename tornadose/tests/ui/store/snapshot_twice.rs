use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token(String),
    #[snapshot(apply = append)]
    Text(String),
    #[snapshot(apply = append)]
    Again(String),
}

fn append(text: &mut String, _: &Answer) {
    text.clear();
}

fn main() {}
