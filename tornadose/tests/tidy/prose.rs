//! What the text of the repository may not contain, and what it cites.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words of no use to a reader. Words with good uses (`for`, `behind`, `stands`) are left to reviewers.
const WORDS: [&str; 4] = ["anew", "affair", "affairs", "unsaid"];

const PHRASES: [&str; 1] = ["that is none"];

/// Identifiers that have been replaced.
const RETIRED: &str = include_str!("retired.txt");

/// The sections of standards that the code obeys, a line each.
const CITATIONS: &str = include_str!("citations.txt");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text files of the repository, with their paths in it.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&repository(), "", &mut found);
    assert!(found.iter().any(|(path, _)| path == "README.md"), "the repository is found");
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        let path = format!("{prefix}{name}");
        if entry.is_dir() {
            if !matches!(&*name, "target" | ".git" | "node_modules" | ".venv") && path != "tornadose/tests/tidy" {
                collect(&entry, &format!("{path}/"), found);
            }
        } else if [".rs", ".md", ".js", ".html", ".stderr", ".snap"].iter().any(|ending| name.ends_with(ending))
            || path == "test"
        {
            found.push((path, fs::read_to_string(&entry).unwrap()));
        }
    }
}

/// The words and identifiers of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn no_text_has_a_word_of_a_private_language() {
    for (path, text) in texts() {
        let lower = text.to_lowercase();
        for word in words(&lower) {
            assert!(!WORDS.contains(&word), "{path}: rewrite the sentence with `{word}`");
        }
        let flat = lower.split_whitespace().filter(|word| !matches!(*word, "//" | "///" | "//!")).collect::<Vec<_>>();
        let flat = flat.join(" ");
        for phrase in PHRASES {
            assert!(!flat.contains(phrase), "{path}: rewrite the sentence with `{phrase}`");
        }
    }
}

#[test]
fn no_retired_identifier_is_back() {
    let retired: BTreeSet<&str> = RETIRED.lines().collect();
    assert!(retired.len() > 20);
    // The changelog says what has been renamed.
    for (path, text) in texts().into_iter().filter(|(path, _)| path != "CHANGELOG.md") {
        for word in words(&text) {
            assert!(!retired.contains(word), "{path}: `{word}` has been replaced");
        }
    }
}

/// The sections that a line cites, such as `RFC 6455 §5.2`.
fn cited(line: &str) -> Vec<String> {
    let mut sections = Vec::new();
    for standard in ["RFC ", "WHATWG HTML"] {
        for (start, _) in line.match_indices(standard) {
            let rest = &line[start..];
            let document: String = if standard == "RFC " {
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == ' ').collect()
            } else {
                format!("{standard} ")
            };
            let section = rest.get(document.len()..).and_then(|rest| rest.strip_prefix('§')).unwrap_or_default();
            let section: String = section.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            sections.push(format!("{document}§{}", section.trim_end_matches('.')));
        }
    }
    sections
}

#[test]
fn citations_have_one_form_and_stand_in_the_list() {
    let listed: BTreeSet<&str> = CITATIONS.lines().collect();
    assert!(listed.iter().is_sorted() && listed.len() == CITATIONS.lines().count(), "sorted, each once");
    let mut used = BTreeSet::new();
    for (path, text) in texts()
        .into_iter()
        .filter(|(path, _)| path.strip_suffix(".rs").is_some_and(|path| path.starts_with("tornadose/src/")))
    {
        // The tests of a module may quote what they like.
        for line in text.split("#[cfg(test)]").next().unwrap().lines().map(str::trim) {
            let sections = cited(line);
            for section in &sections {
                assert!(listed.contains(&**section), "{path}: `{section}` is not in citations.txt: {line}");
                used.insert(section.clone());
            }
            // A comment in code begins with its citation and says the rule in our words. Documentation names a section where it likes.
            if let (Some(comment), Some(first)) = (line.strip_prefix("// "), sections.first()) {
                assert!(comment.starts_with(&format!("{first}: ")), "{path}: write `// {first}: the rule`: {line}");
            }
        }
    }
    for section in listed {
        assert!(used.contains(section), "nothing cites `{section}`: take it out of citations.txt");
    }
}
