use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[derive(Deserialize)]
struct Say<'a> {
    text: &'a str,
}

#[subscriber(ws, store = Tick, receive = Self::received)]
struct Ticks;

impl Ticks {
    async fn received(&mut self, say: Say<'_>, _: &Store<Tick>) {
        drop(say.text);
    }
}

fn main() {}
