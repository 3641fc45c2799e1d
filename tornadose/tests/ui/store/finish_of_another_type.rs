use tornadose::prelude::*;

#[store(queue)]
#[derive(Serialize)]
struct Line {
    #[key]
    run: u64,
}

async fn finish(store: &Store<Line>) {
    let _id = store.finish(&LineKey { run: 7 }).await;
}

async fn finished(store: &Store<Line>) {
    store.finished(&LineKey { run: 7 }).await;
}

fn main() {}
