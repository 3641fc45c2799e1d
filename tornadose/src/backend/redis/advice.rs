//! Advice after a start that has failed: one sentence that follows the server's own words.

use redis::Value;

use crate::backend::engine::OpenError;
use crate::backend::redis::connect::REPLY_TIMEOUT;
use crate::backend::redis::fault::Fault;
use crate::backend::redis::server::Server;

/// The permissions that the user of the URL needs for Streams and for PUB/SUB, as `ACL SETUSER` takes them.
const STREAMS_PERMISSIONS: &str = "+get +set +xadd +xtrim +xread +xrange +xrevrange +xinfo|stream +xinfo|groups \
                                   +xgroup|create +hget +hset +hdel +hscan +eval +eval_ro +evalsha_ro +multi +exec \
                                   +select +client|setname";
const PUBSUB_PERMISSIONS: &str = "+publish +subscribe +ping +select +client|setname";

/// The keys or the channel on which a store is opened.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// The keys that begin with this name.
    Streams(&'a str),
    /// This channel.
    PubSub(&'a str),
}

/// How a server's words begin, or what they contain, and what to do.
const ADVICE: [(&str, &str); 19] = [
    ("WRONGPASS", "check the user and the password of the URL"),
    ("NOAUTH", "put the password into the URL, as in `redis://user:password@host`"),
    ("called without any password configured", "leave the password out of the URL"),
    ("READONLY", "this is a replica: connect to its master"),
    ("CLUSTERDOWN", "the cluster has lost a node: see `CLUSTER INFO`"),
    ("cluster support disabled", "use `redis://` for a server that is not in a cluster"),
    ("SELECT is not allowed in cluster mode", "leave the database out of the URL: a cluster has only 0"),
    ("No such master", "correct the name in the URL: `SENTINEL MASTERS` lists those that there are"),
    ("LOADING", "Redis is reading its data: try again soon"),
    ("MASTERDOWN", "this is a replica that has lost its master: connect to the master"),
    ("WRONGTYPE", "delete the key, or choose another channel"),
    ("OOM", "give Redis more `maxmemory`, or keep less `history`"),
    ("MISCONF", "see Redis's log for why it cannot save its data"),
    ("NOREPLICAS", "Redis waits for its replicas: see `min-replicas-to-write`"),
    ("DB index is out of range", "choose a database that exists"),
    ("Connection refused", "start Redis there, or correct the URL"),
    ("lookup address", "correct the host of the URL"),
    ("no reply in time", "check the address of the URL, and the firewall in between"),
    ("InvalidContentType", "use `redis://` if the server has no TLS on this port"),
];

/// Converts the fault of a start into an error that names the server's address, what Redis has said, and what to do.
pub(super) async fn open_error(server: &Server, target: Target<'_>, fault: &Fault) -> OpenError {
    OpenError::new(format!("Redis at {}: {}", server.description(), explain(server, target, fault).await))
}

async fn explain(server: &Server, target: Target<'_>, fault: &Fault) -> String {
    let words = fault.to_string();
    let is_unknown_command = words.contains("unknown command");
    if is_unknown_command && let Some(advice) = explain_unknown_command(server).await {
        return format!("{words}; {advice}");
    }
    let is_missing_permission = words.starts_with("NOPERM") || words.contains("can't run this command");
    if is_missing_permission {
        return match target {
            Target::Streams(keys) => {
                let words = find_missing_permission(server, keys).await.unwrap_or(words);
                format!("{words}; permit it with `ACL SETUSER <user> ~{keys}* {STREAMS_PERMISSIONS}`")
            }
            Target::PubSub(channel) => {
                format!("{words}; permit it with `ACL SETUSER <user> &{channel} {PUBSUB_PERMISSIONS}`")
            }
        };
    }
    match ADVICE.iter().find(|(said, _)| words.contains(said)) {
        Some((_, advice)) => format!("{words}; {advice}"),
        None => words,
    }
}

/// A script's error does not name the command, so these are asked for one by one.
async fn find_missing_permission(server: &Server, keys: &str) -> Option<String> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("EVALSHA_RO").arg("0").arg(0).cmd("EVAL_RO").arg("return 1").arg(0);
    pipeline.cmd("GET").arg(format!("{keys}:epoch")).cmd("XINFO").arg("STREAM").arg(keys);
    pipeline.cmd("XINFO").arg("GROUPS").arg(keys);
    pipeline.cmd("XRANGE").arg(keys).arg("-").arg("+").arg("COUNT").arg(0);
    pipeline.cmd("XREVRANGE").arg(keys).arg("+").arg("-").arg("COUNT").arg(0);
    pipeline.cmd("HSCAN").arg(format!("{keys}:latest")).arg(0).arg("MATCH").arg("");
    pipeline.cmd("HGET").arg(format!("{keys}:latest")).arg("");
    let connection = server.connect("tornadose-reader").await.ok()?;
    let replies = connection.query(&pipeline, REPLY_TIMEOUT).await.ok()?;
    let denied = replies.filter_map(Result::err).find(|error| error.code() == Some("NOPERM"))?;
    Some(Fault::Redis(denied).to_string())
}

/// Asks a server what it is, if it does not know a command.
async fn explain_unknown_command(server: &Server) -> Option<String> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("INFO").arg("server");
    // Without the database of the URL, which a Sentinel does not know.
    let connection = server.connect_without_database().await.ok()?;
    let Ok(Value::BulkString(info)) = connection.query(&pipeline, REPLY_TIMEOUT).await.ok()?.next_reply() else {
        return None;
    };
    let info = String::from_utf8_lossy(&info).into_owned();
    let field = |name: &str| info.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    if field("redis_mode:")? == "sentinel" {
        return Some("this is a Sentinel: use `redis+sentinel://<host>:<port>/<name of the master>`".into());
    }
    Some(format!("this is Redis {}, and 7.0 or newer is needed", field("redis_version:")?))
}
