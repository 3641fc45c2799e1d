//! Masks: paths into JSON whose values are replaced by labels. Which label is given is the business of `labels`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

/// A path into JSON: `.user.token`, `["odd key"]`, `.items[].id`, `.items[0]`, `.*` for any member, `.**` for any depth.
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
    /// Any depth, none too.
    Deep,
}

impl Mask {
    /// Reads a path; an error is a sentence about it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a path into JSON: write `.token`, `.user.token`, `.items[].id` or `.**.token`");
        let (mut steps, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (step, behind) = step(rest).ok_or_else(wrong)?;
            steps.push(step);
            rest = behind;
        }
        if matches!(steps.last(), None | Some(Step::Deep)) {
            Err(wrong())
        } else {
            Ok(Self { text: text.into(), steps })
        }
    }

    /// What its labels are called: the last key of the path.
    pub(crate) fn name(&self) -> &str {
        let keys = self.steps.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            _ => None,
        });
        keys.into_iter().next().unwrap_or("value")
    }

    /// The places in a JSON text that it names; none in a text that is no JSON.
    pub(crate) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
            walk(value, &self.steps, &mut found);
        }
        let start = text.as_ptr() as usize;
        let mut places: Vec<_> = found
            .iter()
            .map(|value| (value.as_ptr() as usize - start, value.as_ptr() as usize - start + value.len()))
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first step of a path, and what is behind it.
fn step(path: &str) -> Option<(Step, &str)> {
    if let Some(behind) = path.strip_prefix(".**") {
        return Some((Step::Deep, behind));
    }
    if let Some(behind) = path.strip_prefix(".*") {
        return Some((Step::Any, behind));
    }
    if let Some(key) = path.strip_prefix('.') {
        let end = key.find(['.', '[']).unwrap_or(key.len());
        return (end > 0).then(|| (Step::Key(key[..end].to_owned()), &key[end..]));
    }
    if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, behind) = quoted.split_once("\"]")?;
        return Some((Step::Key(key.to_owned()), behind));
    }
    let (index, behind) = path.strip_prefix('[')?.split_once(']')?;
    if index.is_empty() { Some((Step::Each, behind)) } else { Some((Step::Index(index.parse().ok()?), behind)) }
}

fn walk<'text>(value: &'text RawValue, steps: &[Step], found: &mut Vec<&'text str>) {
    let Some((step, rest)) = steps.split_first() else { return found.push(value.get()) };
    match step {
        Step::Key(key) => {
            if let Some(member) = members(value).get(key) {
                walk(member, rest, found);
            }
        }
        Step::Index(index) => {
            if let Some(element) = elements(value).get(*index) {
                walk(element, rest, found);
            }
        }
        Step::Any => members(value).into_values().chain(elements(value)).for_each(|child| walk(child, rest, found)),
        Step::Each => elements(value).into_iter().for_each(|child| walk(child, rest, found)),
        Step::Deep => {
            walk(value, rest, found);
            members(value).into_values().chain(elements(value)).for_each(|child| walk(child, steps, found));
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
    fn paths_name_places() {
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
    fn what_is_no_path_is_told() {
        for wrong in ["", "token", ".", ".a..b", "[x]", ".**", ".a[", "."] {
            let said = Mask::parse(wrong).expect_err(wrong);
            assert!(said.starts_with(&format!("`{wrong}` is not a path into JSON: write ")), "{said}");
        }
        assert_eq!(Mask::parse(".items[]").map(|mask| mask.name().to_owned()), Ok("items".into()));
    }
}
