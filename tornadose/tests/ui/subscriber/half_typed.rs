use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(s)]
struct A;

#[subscriber(sse, s)]
struct B;

#[subscriber(sse, sto)]
struct C;

#[subscriber(sse, store)]
struct D;

#[subscriber(sse, store =)]
struct E;

#[subscriber(sse, store = Tick, a)]
struct F;

#[subscriber(sse, store: Tick)]
struct G;

#[subscriber(sse, store Tick)]
struct H;

#[subscriber(transports(sse, ws), store = Tick)]
struct I;

#[subscriber(sse, store = Tick, authorize(Self::allowed))]
struct J;

#[subscriber("sse", store = Tick)]
struct K;

#[subscriber(sse, store = Tick, keep_alive = )]
struct L;

fn main() {}
