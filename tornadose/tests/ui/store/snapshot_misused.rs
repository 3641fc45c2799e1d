use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Finishes {
    Token(String),
    #[finish]
    #[snapshot(apply = append)]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Vanishes {
    Token(String),
    #[ephemeral]
    #[snapshot(apply = append)]
    Text(String),
}

fn main() {}
