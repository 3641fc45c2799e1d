//! The seam where a real model goes, and a simulated one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::prose;

/// A model that answers questions. A real one sends its request in `answer`, and reads the tokens from the response.
pub(crate) trait Model: Send + Sync {
    /// Returns the tokens of an answer, as they are found; or an error, which is its last item, with the reason why there
    /// are no more. Dropping the stream ends the work.
    fn answer(&self, question: &str) -> BoxStream<'static, Result<String, String>>;
}

/// Answers the same question with the same words at the same pace.
pub(crate) struct SimulatedModel {
    pace: Duration,
}

impl SimulatedModel {
    /// A model with a mean time between two tokens.
    pub(crate) fn new(pace: Duration) -> Self {
        Self { pace }
    }
}

impl Model for SimulatedModel {
    fn answer(&self, question: &str) -> BoxStream<'static, Result<String, String>> {
        let mut hasher = DefaultHasher::new();
        question.hash(&mut hasher);
        let (mut random, pace) = (StdRng::seed_from_u64(hasher.finish()), self.pace);
        // It thinks before it begins.
        let mut rest = 16.0;
        let timed = tokens(&prose::answer(question)).into_iter().map(move |token| {
            let wait = pace.mul_f64(rest * random.random_range(0.4..1.6));
            rest = rest_after(&token);
            (token, wait)
        });
        let told = async |(token, wait): (String, Duration)| {
            tokio::time::sleep(wait).await;
            Ok(token)
        };
        stream::iter(timed.collect::<Vec<_>>()).then(told).boxed()
    }
}

/// The model's pause after a token, in tokens.
fn rest_after(token: &str) -> f64 {
    match token.trim_end_matches(' ').chars().last() {
        Some('\n') => 7.0,
        Some('.' | '?' | '!') => 4.0,
        Some(',' | ';' | ':') => 2.0,
        _ => 0.8,
    }
}

/// Splits a text as the tokenizer of a model would: into words and parts of long words, with what stands before them.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_inclusive([' ', '\n']) {
        let letters: Vec<char> = word.chars().collect();
        let parts = if letters.len() > 9 { 2 } else { 1 };
        tokens.extend(letters.chunks(letters.len().div_ceil(parts)).map(|part| part.iter().collect::<String>()));
    }
    tokens
}
