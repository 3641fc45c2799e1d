#[store(latest, memory = "2GiB", max_key = "2KiB", ttl = "1500ms", channel = "lights", finish, schema, crate = crate::streams)]
enum Light {
    Green,
    #[queue]
    Broken(u8),
    #[queue]
    #[finish]
    Removed,
}

#[subscriber(
    sse,
    ws,
    store = Light,
    crate = crate::streams,
    all_keys,
    authorize = may_connect,
    filter = wanted,
    receive = received,
    load = stored,
    opened = opened,
    closed = closed,
    replay = 20,
    lag = close,
    keep_alive = off,
    retry = "1500ms",
    origins = ["https://app.example"],
    max_connections = 10_000,
    max_loads = 4,
    max_age = "10m",
    protocols = ["v1"],
    max_message = "64KiB",
    throttle = "500ms",
    schema,
    snapshots = unfiltered,
)]
pub(crate) struct Lights {
    #[param]
    room: String,
    #[query("n")]
    number: Option<u8>,
    #[header]
    x_tenant: String,
    #[cookie]
    session: u64,
    #[depot]
    user: User,
    #[depot("db")]
    pool: Pool,
    #[depot(Account, id)]
    account: u64,
    #[state]
    seen: Seen,
    #[connection]
    connection: ConnectionId,
    #[store_handle]
    lights: Store<Light>,
}

#[subscriber(sse, store = Quote, authorize = public, max_keys = 50)]
struct Watchlist {
    #[key]
    #[depot]
    tenant: u32,
    #[keys(symbol)]
    #[query("s", separator = ",")]
    symbols: Vec<String>,
}
