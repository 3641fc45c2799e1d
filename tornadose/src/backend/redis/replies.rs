//! The replies to the commands of a pipeline.

use redis::{Pipeline, RedisError, Value};

use crate::backend::redis::fault::Fault;

/// The replies to the commands of a pipeline, in order.
///
/// When a transaction was aborted, the commands that caused it have their own errors, and each other command has the
/// first of these.
pub(super) struct Replies(std::vec::IntoIter<Result<Value, RedisError>>);

impl Replies {
    /// Takes the next reply; a missing one is nil.
    pub(super) fn next_reply(&mut self) -> Result<Value, RedisError> {
        self.0.next().unwrap_or(Ok(Value::Nil))
    }

    /// Returns the first error.
    pub(super) fn find_error(mut self) -> Option<RedisError> {
        self.0.find_map(Result::err)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Result<Value, RedisError>> {
        self.0.as_slice().iter()
    }

    /// Splits the replies to commands of which every second one belongs to the one before.
    pub(super) fn split_pairs(self) -> (Self, Self) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (index, reply) in self.0.enumerate() {
            if index % 2 == 0 { first.push(reply) } else { second.push(reply) }
        }
        (Self(first.into_iter()), Self(second.into_iter()))
    }

    /// Returns the errors among the replies.
    pub(super) fn errors(&self) -> impl Iterator<Item = &RedisError> {
        self.iter().filter_map(|reply| reply.as_ref().err())
    }

    /// Replaces the replies of redirected commands, in order, by those of another node.
    pub(super) fn replace_where(self, is_replaced: impl Fn(&RedisError) -> bool, mut others: Self) -> Self {
        let replies = self.0.map(|reply| match reply {
            Err(error) if is_replaced(&error) => others.next_reply(),
            reply => reply,
        });
        Self(replies.collect::<Vec<_>>().into_iter())
    }

    /// Arranges what the server has sent: a value for each command, in a transaction also for `MULTI` and `EXEC`.
    pub(super) fn new(pipeline: &Pipeline, values: Vec<Value>) -> Result<Self, Fault> {
        let replies = if pipeline.is_transaction() {
            transaction_replies(values, pipeline.len())?
        } else {
            values.into_iter().map(Value::extract_error).collect()
        };
        Ok(Self(replies.into_iter()))
    }
}

impl Iterator for Replies {
    type Item = Result<Value, RedisError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Replies {}

fn transaction_replies(values: Vec<Value>, commands: usize) -> Result<Vec<Result<Value, RedisError>>, Fault> {
    let mut values = values.into_iter();
    values.next().unwrap_or(Value::Nil).extract_error().map_err(Fault::NotAtomic)?;
    let queued: Vec<_> = values.by_ref().take(commands).map(Value::extract_error).collect();
    match values.next() {
        Some(Value::Array(executed)) if executed.len() == commands => {
            Ok(executed.into_iter().map(Value::extract_error).collect())
        }
        Some(Value::ServerError(error)) => {
            let error = RedisError::from(error);
            let cause = queued.iter().find_map(|reply| reply.as_ref().err()).cloned();
            let cause = cause.or_else(|| abort_cause(&error)).unwrap_or(error);
            Ok(queued.into_iter().map(|reply| Err(reply.err().unwrap_or_else(|| cause.clone()))).collect())
        }
        _ => Err(Fault::Protocol("unexpected reply to EXEC".into())),
    }
}

/// Returns the cause that `EXEC` itself names, as in `Transaction discarded because of: OOM command not allowed …`.
fn abort_cause(error: &RedisError) -> Option<RedisError> {
    let (_, cause) = error.detail()?.split_once("discarded because of: ")?;
    match redis::parse_redis_value(format!("-{cause}\r\n").as_bytes()).ok()? {
        Value::ServerError(cause) => Some(cause.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(sent: &str, is_atomic: bool) -> Vec<String> {
        let mut pipeline = redis::pipe();
        if is_atomic {
            pipeline.atomic();
        }
        pipeline.cmd("SET").cmd("GET");
        let values = sent.split_inclusive('|').map(|value| value.replace('|', "\r\n"));
        let values = values.map(|value| redis::parse_redis_value(value.as_bytes()).unwrap()).collect();
        match Replies::new(&pipeline, values) {
            Ok(replies) => replies
                .map(|reply| reply.map_or_else(|error| Fault::Redis(error).to_string(), |value| format!("{value:?}")))
                .collect(),
            Err(fault) => vec![fault.to_string()],
        }
    }

    #[test]
    fn every_command_has_a_reply_and_an_aborted_transaction_has_its_cause() {
        let oom = "OOM command not allowed when used memory > 'maxmemory'.";
        let (queued, executed) = ("+QUEUED|", "*2\r\n+OK\r\n-ERR wrong\r\n");
        for (sent, is_atomic, expected) in [
            ("+OK|-ERR wrong|", false, vec!["ok", "ERR wrong"]),
            (&format!("+OK|{queued}{queued}{executed}|")[..], true, vec!["ok", "ERR wrong"]),
            (
                &format!("+OK|-{oom}|{queued}-EXECABORT Transaction discarded because of previous errors.|"),
                true,
                vec![oom, oom],
            ),
            (&format!("+OK|{queued}{queued}-EXECABORT Transaction discarded because of: {oom}|"), true, vec![oom, oom]),
            (&format!("+OK|{queued}{queued}-ERR other|"), true, vec!["ERR other", "ERR other"]),
            ("-NOPERM no multi|:1|:2|-ERR EXEC without MULTI|", true, vec!["NOPERM no multi"]),
            (&format!("+OK|{queued}{queued}$-1|"), true, vec!["unexpected reply to EXEC"]),
        ] {
            assert_eq!(replies(sent, is_atomic), expected, "{sent}");
        }
    }
}
