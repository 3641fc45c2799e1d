//! The connection that tails the stream: it loads the history, tells what is appended, and notices when the stream is not the same
//! any more. What it sees is judged in `tail`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Value};

use crate::backend::backoff::Backoff;
use crate::backend::redis::connect::{Fault, Server, within};
use crate::backend::redis::streams::tail::{Course, Extent, Tail};
use crate::backend::redis::streams::protocol::{
    CHANGE_EPOCH, Entry, Keys, bytes, drop_script, fold_script, list, offset, written,
};
use crate::backend::{Heard, Link, Taken};
use crate::id::{Epoch, Offset};

/// How long one wait for the next entry lasts; then the stream is looked at anyhow.
const DOORBELL: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How many bytes of entries are asked for at once, roughly, and at most how many entries.
const AT_ONCE: usize = 4 << 20;
const ENTRIES: usize = 1000;

/// After how many appends of other programs the stream is trimmed for them.
const FOREIGN: usize = 100;

pub(super) struct Reading<'a> {
    server: &'a Server,
    keys: &'a Keys,
    link: &'a Link,
    history: usize,
    connection: Option<MultiplexedConnection>,
    /// The life of the stream that is being told.
    epoch: Option<Epoch>,
    tail: Tail,
    /// How many entries are asked for at once.
    count: usize,
    /// How many appends of other programs were seen since the stream was last trimmed for them.
    foreign: usize,
    backoff: Backoff,
    fold: String,
    forget: String,
}

/// What a look at the stream shows.
struct Look {
    epoch: Option<Epoch>,
    extent: Extent,
    last_is_there: bool,
    entries: Vec<Entry>,
}

/// A value that is kept beside the stream, and its message's place.
type Kept = HashMap<String, (Offset, Vec<u8>)>;

impl<'a> Reading<'a> {
    pub(super) fn new(server: &'a Server, keys: &'a Keys, history: usize, link: &'a Link) -> Self {
        Self {
            server,
            keys,
            link,
            history,
            connection: None,
            epoch: None,
            tail: Tail::default(),
            count: ENTRIES,
            foreign: 0,
            backoff: Backoff::new(link.by()),
            fold: fold_script(),
            forget: drop_script(),
        }
    }

    /// Connects and tells what there is.
    pub(super) async fn start(&mut self) -> Result<(), Fault> {
        self.look_and_tell().await.map(drop)
    }

    /// Tails the stream for ever.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(fault) = self.follow().await {
                self.connection = None;
                self.link.lost(&fault.to_string());
                tokio::time::sleep(self.backoff.next()).await;
            }
        }
    }

    /// One look, and a wait for the next entry when that has shown all.
    async fn follow(&mut self) -> Result<(), Fault> {
        if !self.look_and_tell().await? {
            return Ok(());
        }
        let mut bell = redis::cmd("XREAD");
        bell.arg("BLOCK").arg(u64::try_from(DOORBELL.as_millis()).unwrap_or(1000)).arg("COUNT").arg(1);
        bell.arg("STREAMS").arg(&self.keys.stream).arg(written(self.tail.last));
        let mut connection = self.connection().await?;
        // Whatever it brings is read again with the look that judges it.
        within(DOORBELL + ANSWER, bell.exec_async(&mut connection)).await
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, Fault> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = self.server.connect("tornadose-reader").await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    async fn ask(&mut self, pipeline: &mut Pipeline) -> Result<Vec<Result<Value, RedisError>>, Fault> {
        let mut connection = self.connection().await?;
        within(ANSWER, pipeline.ignore_errors().query_async(&mut connection)).await
    }

    /// Tells what was appended since the last look, or everything anew when the stream is not the same. True when that was all.
    async fn look_and_tell(&mut self) -> Result<bool, Fault> {
        let Some(epoch) = self.epoch else {
            self.load().await?;
            return Ok(true);
        };
        let look = self.look().await?;
        if look.epoch != Some(epoch) {
            self.epoch = None;
            return Ok(false);
        }
        let (read, all) = (look.entries.len(), look.entries.len() < self.count);
        let missing = match self.tail.course(&look.extent, look.last_is_there, read as u64, all) {
            Course::On { missing } => missing,
            Course::Back => {
                self.change_epoch(epoch).await?;
                self.epoch = None;
                return Ok(false);
            }
        };
        if missing > 0 {
            self.link.hole(Some(missing));
        }
        let mut side = Vec::new();
        for entry in &look.entries {
            self.tell(entry, &mut side);
            self.tail.last = entry.offset;
        }
        self.tail.added += missing + read as u64;
        if all && missing > 0 && look.extent.newest > self.tail.last {
            // What is gone is gone up to there.
            self.tail.last = look.extent.newest;
            self.link.reach(self.tail.last);
        }
        self.adapt(&look.entries);
        self.write(side).await?;
        if all {
            self.link.caught_up();
            self.backoff.reset();
        }
        Ok(all)
    }

    /// Asks for as many entries at once as make a good piece.
    fn adapt(&mut self, entries: &[Entry]) {
        if let Some(average) = entries.iter().map(Entry::size).sum::<usize>().checked_div(entries.len()) {
            self.count = (AT_ONCE / average.max(1)).clamp(1, ENTRIES);
        }
    }

    async fn look(&mut self) -> Result<Look, Fault> {
        let (last, Keys { stream, epoch, .. }) = (written(self.tail.last), self.keys);
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("GET").arg(epoch).cmd("XINFO").arg("STREAM").arg(stream);
        pipeline.cmd("XRANGE").arg(stream).arg(&last).arg(&last);
        pipeline.cmd("XRANGE").arg(stream).arg(format!("({last}")).arg("+").arg("COUNT").arg(self.count);
        let mut answers = self.ask(&mut pipeline).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let (epoch, extent, there, entries) = (next()?, extent(next())?, next()?, next()?);
        Ok(Look {
            epoch: epoch_of(&epoch),
            extent,
            last_is_there: list(&there).is_some_and(|found| !found.is_empty()),
            entries: entries_of(entries)?,
        })
    }

    /// Has ids begin a new life, unless another process has. Answers which.
    async fn change_epoch(&mut self, old: Epoch) -> Result<Epoch, Fault> {
        tracing::warn!(target: "tornadose", channel = self.link.channel(), "the stream went back: its ids begin a new life");
        let Keys { stream, epoch, .. } = self.keys;
        let mut pipeline = redis::pipe();
        let change = pipeline.atomic().cmd("EVAL").arg(CHANGE_EPOCH).arg(1).arg(epoch);
        change.arg(old.to_string()).arg(Epoch::fresh().to_string());
        mark(&mut pipeline, stream);
        pipeline.cmd("GET").arg(epoch);
        let mut answers = self.ask(&mut pipeline).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        next()?;
        // It may be there already.
        drop(next());
        epoch_of(&next()?).ok_or_else(|| Fault::Wrong(format!("{epoch} holds no epoch")))
    }

    /// Tells of one entry. What is to be written beside the stream for it goes to `side`.
    fn tell(&mut self, entry: &Entry, side: &mut Vec<Aside>) -> Option<String> {
        let (link, offset) = (self.link, entry.offset);
        let from = entry.from();
        if from.is_none() {
            self.foreign += 1;
        }
        if let Some(key) = entry.field("forget") {
            let fields = link.forget(Some(offset), &String::from_utf8_lossy(key));
            if !fields.is_empty() {
                side.push(Aside::Forget { offset, fields });
            }
            return None;
        }
        let Some(payload) = entry.field("data") else {
            link.unfit(offset, "no field `data`");
            return None;
        };
        match link.entry(offset, Heard { payload, from }) {
            Taken::Latest { field } => {
                if from.is_none() {
                    side.push(Aside::Fold { field: field.clone(), offset, payload: payload.to_vec() });
                }
                Some(field)
            }
            _ => None,
        }
    }

    /// Writes what belongs beside the stream, and trims it for programs that do not.
    async fn write(&mut self, side: Vec<Aside>) -> Result<(), Fault> {
        let Keys { stream, latest, .. } = self.keys;
        let mut pipeline = redis::pipe();
        // Of one field the newest value is enough.
        let mut folded: HashMap<String, (Offset, Vec<u8>)> = HashMap::new();
        for aside in side {
            match aside {
                Aside::Fold { field, offset, payload } => drop(folded.insert(field, (offset, payload))),
                Aside::Forget { offset, fields } => {
                    folded.retain(|field, _| !fields.contains(field));
                    pipeline.cmd("EVAL").arg(&self.forget).arg(1).arg(latest).arg(written(offset)).arg(fields);
                }
            }
        }
        for (field, (offset, payload)) in folded {
            pipeline.cmd("EVAL").arg(&self.fold).arg(1).arg(latest).arg(field).arg(written(offset)).arg(payload);
        }
        if self.foreign >= FOREIGN {
            self.foreign = 0;
            pipeline.cmd("XTRIM").arg(stream).arg("MAXLEN").arg("~").arg(self.history);
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        let refused = self.ask(&mut pipeline).await?.into_iter().find_map(Result::err);
        if let Some(error) = refused {
            // The feed goes on without: say, a replica that takes no writes, or a user who may not.
            tracing::warn!(target: "tornadose", channel = self.link.channel(), %error, "latest values could not be kept");
        }
        Ok(())
    }

    /// Tells everything anew: the values kept beside the stream, and the history.
    async fn load(&mut self) -> Result<(), Fault> {
        let Keys { stream, epoch, kind, latest } = self.keys;
        let name = self.link.type_name();
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("SET").arg(epoch).arg(Epoch::fresh().to_string()).arg("NX").cmd("GET").arg(epoch);
        mark(&mut pipeline, stream);
        pipeline.cmd("SET").arg(kind).arg(name).arg("NX").cmd("GET").arg(kind);
        pipeline.cmd("XINFO").arg("STREAM").arg(stream).cmd("HGETALL").arg(latest);
        let mut answers = self.ask(&mut pipeline).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let is_new = !matches!(next()?, Value::Nil);
        let mut epoch = epoch_of(&next()?).ok_or_else(|| Fault::Wrong(format!("{epoch} holds no epoch")))?;
        // An error says that it is there already; of another type under the key `XINFO` tells.
        let was_deleted = next().is_ok() && !is_new;
        next()?;
        let there = next()?;
        let there = String::from_utf8_lossy(bytes(&there).unwrap_or_default()).into_owned();
        if there != name {
            let channel = self.link.channel();
            return Err(Fault::Wrong(format!(
                "the channel `{channel}` holds messages of the type `{there}`, not `{name}`"
            )));
        }
        let extent = extent(next())?;
        let (kept, stale) = kept_of(&next()?, extent.newest)?;
        if was_deleted {
            epoch = self.change_epoch(epoch).await?;
        }
        let history = self.history_up_to(extent.newest).await?;
        let complete = extent.added == history.len() as u64;
        let floor = match history.first() {
            _ if complete => Offset::START,
            Some(first) => first.offset.before(),
            None => extent.newest,
        };
        self.tell_anew(epoch, floor, extent, kept, stale, &history).await
    }

    async fn tell_anew(
        &mut self,
        epoch: Epoch,
        floor: Offset,
        extent: Extent,
        kept: Kept,
        stale: Vec<String>,
        history: &[Entry],
    ) -> Result<(), Fault> {
        let link = self.link;
        link.begin(epoch, floor);
        let mut side = Vec::new();
        if !stale.is_empty() {
            side.push(Aside::Forget { offset: Offset::new(u64::MAX, u64::MAX), fields: stale });
        }
        let mut values: BTreeMap<Offset, &Vec<u8>> = kept.values().map(|(offset, value)| (*offset, value)).collect();
        for (told, entry) in history.iter().enumerate() {
            let newer = values.split_off(&entry.offset);
            tell_values(link, &std::mem::replace(&mut values, newer));
            values.remove(&entry.offset);
            self.tell(entry, &mut side);
            if told % ENTRIES == ENTRIES - 1 {
                tokio::task::yield_now().await;
            }
        }
        tell_values(link, &values);
        link.reach(extent.newest);
        side.retain(|aside| match aside {
            Aside::Fold { field, offset, .. } => kept.get(field).is_none_or(|(newest, _)| newest < offset),
            Aside::Forget { .. } => true,
        });
        (self.tail, self.epoch) = (Tail { last: extent.newest, added: extent.added }, Some(epoch));
        self.write(side).await?;
        link.caught_up();
        self.backoff.reset();
        Ok(())
    }

    /// The newest entries up to a place, oldest first: as many as are to be kept, and fit the store.
    async fn history_up_to(&mut self, newest: Offset) -> Result<Vec<Entry>, Fault> {
        let (mut history, mut bytes) = (Vec::new(), 0);
        let mut from = written(newest);
        while history.len() < self.history && bytes < self.link.memory() {
            let count = self.count.min(self.history - history.len());
            let mut pipeline = redis::pipe();
            pipeline.cmd("XREVRANGE").arg(&self.keys.stream).arg(&from).arg("-").arg("COUNT").arg(count);
            let answer = self.ask(&mut pipeline).await?.pop().unwrap_or(Ok(Value::Nil))?;
            let older = entries_of(answer)?;
            self.adapt(&older);
            let (found, last) = (older.len(), older.last().map(|entry| entry.offset));
            bytes += older.iter().map(Entry::size).sum::<usize>();
            history.extend(older);
            match last {
                Some(last) if found == count => from = format!("({}", written(last)),
                _ => break,
            }
        }
        history.reverse();
        Ok(history)
    }
}

/// What is to be written beside the stream.
enum Aside {
    /// A newest value that another program has appended.
    Fold { field: String, offset: Offset, payload: Vec<u8> },
    /// Values that are not newer than a place are to be dropped.
    Forget { offset: Offset, fields: Vec<String> },
}

fn tell_values(link: &Link, values: &BTreeMap<Offset, &Vec<u8>>) {
    for (offset, payload) in values {
        link.entry(*offset, Heard { payload, from: None });
    }
}

fn epoch_of(value: &Value) -> Option<Epoch> {
    std::str::from_utf8(bytes(value)?).ok()?.parse().ok()
}

/// Marks the stream of an epoch by a group that nobody reads: one without was deleted, though nobody may have seen it. An error says
/// that it is there.
fn mark(pipeline: &mut Pipeline, stream: &str) {
    pipeline.cmd("XGROUP").arg("CREATE").arg(stream).arg("tornadose").arg("$").arg("MKSTREAM");
}

/// What a stream says of itself; a stream that is not there has never had anything.
fn extent(answer: Result<Value, RedisError>) -> Result<Extent, Fault> {
    match answer {
        Ok(value) => Extent::of(&value).ok_or_else(|| Fault::Wrong("Redis 7.0 or newer is needed".into())),
        Err(error) if error.detail().is_some_and(|detail| detail.contains("no such key")) => Ok(Extent::default()),
        Err(error) => Err(error.into()),
    }
}

fn entries_of(value: Value) -> Result<Vec<Entry>, Fault> {
    Entry::all_of(value).ok_or_else(|| Fault::Wrong("a range of the stream is not one".into()))
}

/// The values that are kept, by field, and the fields whose value is of a life that is gone, for it is newer than the stream.
fn kept_of(value: &Value, newest: Offset) -> Result<(Kept, Vec<String>), Fault> {
    let flat: Vec<&Value> = match value {
        Value::Map(pairs) => pairs.iter().flat_map(|(field, value)| [field, value]).collect(),
        _ => list(value).ok_or_else(|| Fault::Wrong("the latest values are no hash".into()))?.iter().collect(),
    };
    let (mut kept, mut stale) = (Kept::new(), Vec::new());
    for pair in flat.chunks_exact(2) {
        let (Some(field), Some(value)) = (bytes(pair[0]), bytes(pair[1])) else { continue };
        let field = String::from_utf8_lossy(field).into_owned();
        let Some(blank) = value.iter().position(|byte| *byte == b' ') else { continue };
        match offset(&value[..blank]) {
            Some(place) if place > newest => stale.push(field),
            Some(place) => drop(kept.insert(field, (place, value[blank + 1..].to_vec()))),
            None => {}
        }
    }
    Ok((kept, stale))
}
