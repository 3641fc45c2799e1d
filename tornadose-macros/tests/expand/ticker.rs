#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, ws, store = Tick)]
struct Ticks;
