//! Masks: paths into JSON data whose values a transcript replaces. The labels that replace them are chosen in `labels`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

/// A path into JSON: `.user.token`, `["odd key"]`, `.items[].id`, `.items[0]`, `.*` for any member, `.**` for any
/// depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// Any member, or any element.
    Any,
    /// Any element.
    Each,
    /// Any depth, including none.
    Deep,
}

impl Mask {
    /// Parses a path. The error is a message for the test's author.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("`{text}` is not a path into JSON: write `.token`, `.user.token`, `.items[].id` or `.**.token`");
        let (mut steps, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(invalid)?;
            steps.push(step);
            rest = after;
        }
        if matches!(steps.last(), None | Some(Step::Deep)) {
            Err(invalid())
        } else {
            Ok(Self { text: text.into(), steps })
        }
    }

    /// The name of its labels: the last key of the path.
    pub(crate) fn name(&self) -> &str {
        let keys = self.steps.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            _ => None,
        });
        keys.into_iter().next().unwrap_or("value")
    }

    /// Returns the byte ranges of the values at this path; none when the text is not JSON.
    pub(crate) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
            collect(value, &self.steps, &mut found);
        }
        let start = text.as_ptr() as usize;
        let mut ranges: Vec<_> = found
            .iter()
            .map(|value| (value.as_ptr() as usize - start, value.as_ptr() as usize - start + value.len()))
            .collect();
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the first step of a path, and the rest of the path.
fn step(path: &str) -> Option<(Step, &str)> {
    if let Some(rest) = path.strip_prefix(".**") {
        return Some((Step::Deep, rest));
    }
    if let Some(rest) = path.strip_prefix(".*") {
        return Some((Step::Any, rest));
    }
    if let Some(key) = path.strip_prefix('.') {
        let end = key.find(['.', '[']).unwrap_or(key.len());
        return (end > 0).then(|| (Step::Key(key[..end].to_owned()), &key[end..]));
    }
    if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, rest) = quoted.split_once("\"]")?;
        return Some((Step::Key(key.to_owned()), rest));
    }
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    if index.is_empty() { Some((Step::Each, rest)) } else { Some((Step::Index(index.parse().ok()?), rest)) }
}

/// Collects the values at the end of the steps.
fn collect<'text>(value: &'text RawValue, steps: &[Step], found: &mut Vec<&'text str>) {
    let Some((step, rest)) = steps.split_first() else { return found.push(value.get()) };
    match step {
        Step::Key(key) => {
            if let Some(member) = members(value).get(key) {
                collect(member, rest, found);
            }
        }
        Step::Index(index) => {
            if let Some(element) = elements(value).get(*index) {
                collect(element, rest, found);
            }
        }
        Step::Any => members(value).into_values().chain(elements(value)).for_each(|child| collect(child, rest, found)),
        Step::Each => elements(value).into_iter().for_each(|child| collect(child, rest, found)),
        Step::Deep => {
            collect(value, rest, found);
            members(value).into_values().chain(elements(value)).for_each(|child| collect(child, steps, found));
        }
    }
}

fn members(value: &RawValue) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Mask;

    fn find(path: &str) -> Vec<&'static str> {
        let text = r#" {"token":"a","user":{"token" : 7,"to.ken":null},"items":[{"id":1},{"id":[2,"3"]}]}"#;
        let mask = Mask::parse(path).expect("it is a path");
        mask.find(text).into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn a_path_finds_its_values() {
        assert_eq!(find(".token"), [r#""a""#]);
        assert_eq!(find(".user.token"), ["7"]);
        assert_eq!(find(r#".user["to.ken"]"#), ["null"]);
        assert_eq!(find(".items[].id"), ["1", r#"[2,"3"]"#]);
        assert_eq!(find(".items[1].id[1]"), [r#""3""#]);
        assert_eq!(find(".*.token"), ["7"]);
        assert_eq!(find(".**.token"), [r#""a""#, "7"]);
        assert_eq!(find(".**.id"), ["1", r#"[2,"3"]"#]);
        assert_eq!(find(".nothing"), [""; 0]);
    }

    #[test]
    fn an_invalid_path_is_an_error() {
        for invalid in ["", "token", ".", ".a..b", "[x]", ".**", ".a[", "."] {
            let error = Mask::parse(invalid).expect_err(invalid);
            assert!(error.starts_with(&format!("`{invalid}` is not a path into JSON: write ")), "{error}");
        }
        assert_eq!(Mask::parse(".items[]").map(|mask| mask.name().to_owned()), Ok("items".into()));
    }
}
