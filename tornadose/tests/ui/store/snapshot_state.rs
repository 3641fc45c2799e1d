use tornadose::prelude::*;

#[store(queue)]
#[derive(Clone, Serialize)]
enum Answer {
    Token {
        #[key]
        run: u32,
        text: String,
    },
    #[snapshot(apply = append)]
    Text {
        #[key]
        run: u32,
    },
}

#[store(queue)]
#[derive(Clone, Serialize)]
enum Book {
    Changed(u32),
    #[snapshot(apply = append)]
    All { bids: Vec<u32>, asks: Vec<u32> },
}

fn append(text: &mut String, _: &Answer) {
    text.clear();
}

fn main() {}
