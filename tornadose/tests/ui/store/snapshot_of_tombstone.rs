use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token(String),
    #[latest]
    Model(String),
    #[tombstone]
    Gone,
    #[snapshot(apply = append, of(Token, Gone))]
    Text(String),
}

fn append(text: &mut String, _: &Answer) {
    text.clear();
}

fn main() {}
