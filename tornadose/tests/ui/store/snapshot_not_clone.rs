use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
enum Answer {
    Token(String),
    #[snapshot(apply = append)]
    Text(String),
}

fn append(text: &mut String, _: &Answer) {
    text.clear();
}

fn main() {}
