//! Answers that are written while one reads them: `cargo run --example assistant`, then open <http://localhost:9000>, ask, and
//! reload the page, open it in a second tab, or stop the server with Ctrl-C in mid-sentence. `TOKEN_MS=200` is a slower
//! model. With `REDIS_URL=redis://127.0.0.1/` several processes show the same answers, and one that is killed leaves none
//! unfinished.

#[path = "assistant/assistant.rs"]
mod assistant;
#[path = "assistant/model.rs"]
mod model;
#[path = "assistant/prose.rs"]
mod prose;

use std::time::Duration;

use salvo::http::StatusCode;
use salvo::writing::Text;
use schemars::JsonSchema;
use tornadose::SubmitError;
use tornadose::prelude::*;

use assistant::Assistant;
use model::SimulatedModel;

/// Names one question and its answer, also in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
struct RunId(String);

impl RunId {
    fn key(&self) -> AnswerKey {
        AnswerKey { run: self.clone() }
    }
}

/// The messages of one answer. A reader that comes late gets the tokens as one text.
#[store(queue, capacity = 500, ttl = "1h", schema)]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Answer {
    #[latest(ttl = "1h")]
    Question {
        #[key]
        run: RunId,
        text: String,
    },
    Token {
        #[key]
        run: RunId,
        text: String,
    },
    #[snapshot(apply = append, of(Token))]
    Text {
        #[key]
        run: RunId,
        text: String,
    },
    #[finish]
    Done {
        #[key]
        run: RunId,
    },
    #[finish]
    Stopped {
        #[key]
        run: RunId,
    },
    #[finish]
    Failed {
        #[key]
        run: RunId,
        why: String,
    },
}

fn append(text: &mut String, message: &Answer) {
    if let Answer::Token { text: token, .. } = message {
        text.push_str(token);
    }
}

impl Answer {
    /// Returns what the lists are told of a last word.
    fn ending(&self) -> Option<Run> {
        let (run, outcome) = match self {
            Self::Done { run } => (run, Outcome::Done),
            Self::Stopped { run } => (run, Outcome::Stopped),
            Self::Failed { run, .. } => (run, Outcome::Failed),
            _ => return None,
        };
        Some(Run::Ended { run: run.clone(), outcome })
    }
}

/// The state of each question in the list, and the process that answers it.
#[store(latest, ttl = "1h", schema)]
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Run {
    /// The lease of the process that answers, which it renews. When it expires, any process finishes the run.
    #[latest(ttl = "10s")]
    Answering {
        #[slot]
        run: RunId,
        process: String,
    },
    Asked {
        #[slot]
        run: RunId,
        question: String,
    },
    Ended {
        #[slot]
        run: RunId,
        outcome: Outcome,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Done,
    Stopped,
    Failed,
}

/// `GET /runs`: the questions of the last hour, then each that is asked.
#[subscriber(sse, ws, store = Run, schema)]
struct Runs;

/// `GET /runs/{run}/answer`: the text that has been written so far, then each token, until the end.
#[subscriber(sse, ws, store = Answer, replay = all, authorize = Self::was_asked, schema)]
struct Reading {
    #[key]
    run: RunId,
    #[store_handle]
    store: Store<Answer>,
}

impl Reading {
    async fn was_asked(&self) -> Result<(), StatusError> {
        let is_kept = is_kept(&self.store, &self.run);
        if is_kept { Ok(()) } else { Err(StatusError::not_found().brief(UNKNOWN)) }
    }
}

/// The question is kept as long as anything is.
fn is_kept(answers: &Store<Answer>, run: &RunId) -> bool {
    answers.latest(&run.key()).is_some()
}

const UNKNOWN: &str = "no such run, or it is not kept any more";

type Answered = Result<(StatusCode, String), (StatusCode, String)>;

/// `POST /runs` with `{"question":"…"}`. Returns the id of the run.
struct Ask(Assistant);

#[derive(Deserialize)]
struct Asking {
    question: String,
}

const QUESTION_LENGTH_MAX: usize = 500;

#[handler]
impl Ask {
    async fn handle(&self, req: &mut Request) -> Answered {
        let bad_request = |reason: String| (StatusCode::BAD_REQUEST, reason);
        let Asking { question } = req.parse_json().await.map_err(|error| {
            bad_request(format!("expected `content-type: application/json` and {{\"question\":\"…\"}}: {error}\n"))
        })?;
        let question = question.trim();
        if question.is_empty() {
            return Err(bad_request("there is no question\n".into()));
        }
        if question.chars().count() > QUESTION_LENGTH_MAX {
            return Err(bad_request(format!("the question has more than {QUESTION_LENGTH_MAX} letters\n")));
        }
        let run = RunId(format!("{:012x}", rand::random::<u64>() >> 16));
        match self.0.start(run.clone(), question.into()).await {
            Ok(()) => Ok((StatusCode::CREATED, run.0)),
            Err(reason) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))),
        }
    }
}

/// `POST /runs/{run}/stop`, at any process: the producer of the run, wherever it is, waits for the finish.
struct Stop(Assistant);

#[handler]
impl Stop {
    async fn handle(&self, req: &mut Request) -> Answered {
        let run = RunId(req.param("run").unwrap_or_default());
        if !is_kept(self.0.answers(), &run) {
            return Err((StatusCode::NOT_FOUND, format!("{UNKNOWN}\n")));
        }
        match self.0.finish(Answer::Stopped { run }).await {
            Ok(()) => Ok((StatusCode::OK, "stopped\n".into())),
            Err(SubmitError::Finished { .. }) => Ok((StatusCode::OK, "it had ended before\n".into())),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
        }
    }
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("assistant/page.html"))
}

fn router(assistant: &Assistant) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("runs").get(Runs::handler(assistant.runs())).post(Ask(assistant.clone())))
        .push(Router::with_path("runs/{run}").get(page))
        .push(Router::with_path("runs/{run}/answer").get(Reading::handler(assistant.answers())))
        .push(Router::with_path("runs/{run}/stop").post(Stop(assistant.clone())))
}

/// The mean time between two tokens: `TOKEN_MS` in the environment, or 45 ms.
fn pace() -> std::io::Result<Duration> {
    let Ok(pace) = std::env::var("TOKEN_MS") else { return Ok(Duration::from_millis(45)) };
    let milliseconds =
        pace.parse().map_err(|_| std::io::Error::other(format!("`TOKEN_MS` is `{pace}`, not a number")))?;
    Ok(Duration::from_millis(milliseconds))
}

/// The time that unfinished answers have at a graceful stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (answers, runs) = match std::env::var("REDIS_URL") {
        Ok(url) => (Store::redis(url.clone()).await?, Store::redis(url).await?),
        Err(_) => (Store::new(), Store::new()),
    };
    let process = format!("{}-{:02x}", std::process::id(), rand::random::<u8>());
    let assistant = Assistant::new(answers, runs, SimulatedModel::new(pace()?), process);
    tokio::spawn(assistant.clone().watch_leases());
    let hints = [
        "open http://localhost:{port}, ask, and reload; or open it in a second tab",
        r#"curl --json '{"question":"Why is the sea salty?"}' localhost:{port}/runs, which returns the id of a run"#,
        "curl -N localhost:{port}/runs/ID/answer",
        "with REDIS_URL, in a second terminal: PORT=9001 cargo run --example assistant",
    ];
    examples::serve_and_drain(9000, router(&assistant), &hints, assistant.drain(DRAIN_TIMEOUT)).await
}

#[cfg(test)]
#[path = "assistant/tests.rs"]
mod tests;
