use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token(String),
    #[latest]
    Model(String),
    #[ephemeral]
    Typing(String),
    #[snapshot(apply = append, of(Tokn, Model, Typing, Done, Text))]
    Text(String),
    #[finish]
    Done,
}

fn append(text: &mut String, _: &Answer) {
    text.clear();
}

fn main() {}
