use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token(String),
    #[snapshot(apply = append)]
    Text(String),
}

fn append(text: &mut Vec<u8>, _: &Answer) {
    text.clear();
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Missing {
    Token(String),
    #[snapshot(apply = not_there)]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Begun {
    Token(String),
    #[snapshot(apply = extend, init = begin)]
    Text(String),
}

fn begin() -> String {
    String::new()
}

fn extend(text: &mut String, _: &Begun) {
    text.clear();
}

fn main() {}
