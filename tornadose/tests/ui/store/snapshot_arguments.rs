use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Bare {
    Token(String),
    #[snapshot]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum NoApply {
    Token(String),
    #[snapshot(of(Token))]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Misspelt {
    Token(String),
    #[snapshot(aply = append)]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Values {
    Token(String),
    #[snapshot(apply = "append", init = 5, version = "2", of = Token, apply = append)]
    Text(String),
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Nothing {
    #[snapshot(apply = append)]
    Text(String),
}

fn main() {}
