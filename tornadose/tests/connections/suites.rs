//! Suites of connections. Each runs with attached streams, and once more with detached streams in a process of its own.
//! `TORNADOSE_STREAMS=detached` runs single tests with detached streams.

#[path = "../common/cases.rs"]
mod cases;
#[path = "../common/harness.rs"]
mod harness;
#[path = "../common/link.rs"]
mod link;
#[path = "../common/log.rs"]
mod log;
#[path = "../common/member.rs"]
mod member;
#[path = "../common/rooms.rs"]
mod rooms;
#[path = "../common/samples.rs"]
mod samples;
#[path = "../common/slow_hook.rs"]
mod slow_hook;
#[path = "../common/table.rs"]
mod table;
#[path = "../common/talker.rs"]
mod talker;
#[path = "../common/watched_room.rs"]
mod watched_room;

mod admission;
mod backend;
mod by_hand;
mod closing;
mod conformance;
#[cfg(feature = "metrics")]
mod counters;
mod detached;
mod ephemeral;
mod ephemeral_programs;
#[cfg(feature = "simulation")]
mod expiry_programs;
mod fields;
mod finish;
mod finish_programs;
mod floods;
mod fuzz_websocket;
mod hooks;
mod http2;
mod keep_alive;
mod keys;
mod latest_ttl;
mod leaving;
mod load;
mod logs;
mod message_size;
mod middleware;
mod options;
mod origins;
mod panics;
mod programs;
mod protocol_page;
mod protocols;
mod replies;
mod requests;
mod resume;
mod retention;
mod several_keys;
mod shutdown;
mod slow_clients;
mod slots;
mod snapshots;
mod sse;
mod throttle;
mod tickets;
mod ttl;
mod watch;
mod watch_cuts;
mod watch_keys;
mod watch_snapshots;
mod watch_waits;
mod ws;
