//! What a `receive` hook may return: values and results, also of types that implement `Serialize` and `Display` alike.
#![deny(warnings)]
#![allow(clippy::unused_self)]

use std::error::Error;
use std::io;

use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[derive(Serialize)]
struct Pong {
    number: u32,
}

type Answered<T> = Result<T, io::Error>;

macro_rules! subscribers {
    ($($name:ident: $returned:ty = $value:expr;)*) => {$(
        #[subscriber(ws, store = Tick, receive = Self::received)]
        struct $name;

        impl $name {
            async fn received(&mut self, number: u32, _: &Store<Tick>) -> $returned {
                let _ = number;
                $value
            }
        }
    )*};
}

subscribers! {
    Value: Pong = Pong { number: 1 };
    Maybe: Option<String> = None;
    Text: &'static str = "pong";
    OfBoth: Result<String, String> = Ok(String::new());
    OrClose: Result<Pong, Close> = Err(Close::new(CloseCode::NORMAL, "bye"));
    Unit: Result<(), Close> = Ok(());
    Alias: Answered<Vec<u8>> = Ok(vec![1]);
    AnyError: Result<u32, Box<dyn Error + Send + Sync>> = Ok(1);
    Nested: Result<Result<u32, String>, String> = Ok(Err(String::new()));
    Opaque: impl Serialize + use<> = 1;
}

#[subscriber(ws, store = Tick, receive = function)]
struct Function;

async fn function(_: &mut Function, number: u32, _: &Store<Tick>) -> Answered<u32> {
    Ok(number)
}

pub fn main() {
    let store = Store::new();
    let _handlers = (
        Value::handler(&store),
        Maybe::handler(&store),
        Text::handler(&store),
        OfBoth::handler(&store),
        OrClose::handler(&store),
        Unit::handler(&store),
        Alias::handler(&store),
        AnyError::handler(&store),
        Nested::handler(&store),
        Opaque::handler(&store),
        Function::handler(&store),
    );
}
