//! The layers, held by tests: which module may import which, no circles, no `mod.rs`, no glob imports, and where Salvo is
//! named.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "tidy/prose.rs"]
mod prose;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A crate's modules by path (`store::log`), and what each imports from its own crate.
struct ModuleGraph {
    sources: BTreeMap<String, String>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl ModuleGraph {
    fn of(crate_folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_folder).join("src");
        let mut sources = BTreeMap::new();
        for file in files(&root) {
            let path = file.strip_prefix(&root).unwrap().with_extension("");
            let module = path.to_str().unwrap().replace('/', "::");
            sources.insert(module, fs::read_to_string(&file).unwrap());
        }
        // The layers do not bind a module of tests.
        let tests: BTreeSet<String> = sources.iter().flat_map(|(module, text)| test_modules(module, text)).collect();
        sources.retain(|module, _| !tests.iter().any(|test| is_within(module, test)));
        let imports = sources.iter().map(|(module, text)| (module.clone(), imports(text, &sources))).collect();
        Self { sources, imports }
    }

    fn check_circles(&self) {
        for module in self.imports.keys() {
            let mut reached = BTreeSet::new();
            let mut next = vec![module];
            while let Some(from) = next.pop() {
                for to in self.imports.get(from).into_iter().flatten() {
                    assert!(to != module, "{module} imports itself, by way of {from}");
                    if reached.insert(to) {
                        next.push(to);
                    }
                }
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn test_modules(module: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let under_cfg = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = under_cfg.filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| if module == "lib" { name.to_owned() } else { format!("{module}::{name}") }).collect()
}

/// The code of a file without its tests, comments and what stands in test modules.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that a file names by `crate::`, in `use` or in place.
fn imports(text: &str, sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let code = code(text);
    let mut named = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        if code[..place].ends_with('$') {
            continue;
        }
        let path: String =
            code[place + 7..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        let mut path = path.as_str();
        // The longest prefix that is a module owns the name.
        while !path.is_empty() && !sources.contains_key(path) {
            path = path.rsplit_once("::").map_or("", |(parent, _)| parent);
        }
        if !path.is_empty() {
            named.insert(path.to_owned());
        }
    }
    named
}

/// The layers of `tornadose`, and which of them each may import.
const LAYERS: [(&str, &[&str]); 16] = [
    ("sync", &[]),
    ("task", &[]),
    ("metrics", &[]),
    ("event", &["event"]),
    ("id", &[]),
    ("message", &["event", "message"]),
    ("backend", &["metrics", "id", "backend"]),
    ("store", &["sync", "task", "metrics", "event", "id", "message", "backend", "store"]),
    ("wire", &["event", "id", "wire"]),
    ("subscriber", &["store", "message", "wire", "subscriber"]),
    ("handler", &["sync", "task", "metrics", "event", "id", "message", "store", "wire", "subscriber", "handler"]),
    ("server", &["store", "handler", "server"]),
    ("script", &[]),
    ("schema", &["id", "message", "subscriber", "schema"]),
    ("inspector", &["task", "event", "id", "message", "store", "subscriber", "handler", "script", "inspector"]),
    ("simulation", &["id", "message", "backend", "store", "simulation"]),
];

/// Returns whether a module is this one or inside it.
fn is_within(module: &str, outer: &str) -> bool {
    module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Returns the layer of a module; `None` for what re-exports the library's items.
fn layer(module: &str) -> Option<&'static str> {
    LAYERS.iter().map(|(layer, _)| *layer).find(|layer| is_within(module, layer))
}

#[test]
fn imports_run_one_way() {
    let graph = ModuleGraph::of("tornadose");
    graph.check_circles();
    assert!(graph.imports["store::reader"].contains("store::log::cursor"), "the test sees the imports");
    for (module, imports) in &graph.imports {
        let Some(from) = layer(module) else {
            assert!(["lib", "__private"].contains(&module.as_str()), "{module} is in no layer");
            continue;
        };
        let (_, allowed) = LAYERS.iter().find(|(layer, _)| *layer == from).unwrap();
        for to in imports {
            let to_layer = layer(to).unwrap_or("lib");
            assert!(allowed.contains(&to_layer), "{module} may not import {to}");
        }
    }
}

#[test]
fn salvo_is_named_only_where_requests_are_served_and_in_the_trait_subscriber() {
    for (module, text) in &ModuleGraph::of("tornadose").sources {
        let code = code(text);
        match layer(module) {
            Some("handler" | "server" | "script" | "inspector") | None => {}
            Some("schema") if module == "schema::openapi" => {}
            Some("subscriber") if module == "subscriber" => {
                let named = code.lines().filter(|line| line.contains("salvo"));
                assert_eq!(named.collect::<Vec<_>>(), ["use salvo::{Depot, Request, http::StatusError};"]);
            }
            _ => assert!(!code.contains("salvo"), "{module} names Salvo"),
        }
    }
}

#[test]
fn the_wire_and_the_log_do_not_wait() {
    for (module, text) in &ModuleGraph::of("tornadose").sources {
        if is_within(module, "wire") || is_within(module, "store::log") {
            assert!(!code(text).contains("async") && !code(text).contains(".await"), "{module} waits");
        }
    }
}

#[test]
fn macros_go_from_arguments_to_model_to_expansion() {
    let graph = ModuleGraph::of("tornadose-macros");
    graph.check_circles();
    for (module, text) in &graph.sources {
        if module.ends_with("::expand") {
            let code = code(text);
            assert!(!code.contains("::args") && !code.contains("diagnostics"), "{module} looks back");
        }
        if module != "runtime" {
            assert!(!code(text).contains("__private"), "{module} spells a path that only `runtime` may spell");
        }
    }
}

#[test]
fn the_other_crates_have_no_import_circles() {
    for folder in ["tornadose-test", "bench"] {
        let graph = ModuleGraph::of(folder);
        assert!(graph.imports.values().any(|imports| !imports.is_empty()), "the test sees the imports of {folder}");
        graph.check_circles();
    }
}

#[test]
fn the_fake_client_knows_no_tornadose() {
    let graph = ModuleGraph::of("tornadose-test");
    for (module, text) in &graph.sources {
        let code = code(text).replace("tornadose_test", "").replace("tornadose_macros", "");
        assert!(!code.contains("tornadose::"), "{module} knows tornadose");
    }
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tornadose-test/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("tornadose.") || line.starts_with("tornadose =")));
}

#[test]
fn the_fake_client_names_salvo_and_tower_only_where_they_are_served() {
    for (module, text) in &ModuleGraph::of("tornadose-test").sources {
        let code = code(text);
        let names = |library: &str| words_before_paths(&code).any(|word| word == library);
        let of_salvo = ["server::salvo_server", "server::service", "harness::salvo_harness"];
        assert_eq!(names("salvo"), of_salvo.contains(&module.as_str()), "whether {module} names Salvo");
        let of_tower = ["server::tower_server", "harness::tower_harness"];
        assert_eq!(names("tower_service"), of_tower.contains(&module.as_str()), "whether {module} names tower");
    }
}

/// The words before `::`.
fn words_before_paths(code: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("::").map(move |(place, _)| {
        let start = code[..place].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
        &code[start..place]
    })
}

#[test]
fn no_glob_no_grandparent_no_mod_rs() {
    for folder in ["tornadose", "tornadose-macros", "tornadose-test"] {
        for (module, text) in &ModuleGraph::of(folder).sources {
            assert!(!module.ends_with("mod"), "{folder}: {module}.rs");
            for line in code(text).lines().map(str::trim) {
                let import = line.starts_with("use ") || line.starts_with("pub use ");
                assert!(!(import && line.contains("::*")), "{folder}: {module}: {line}");
                assert!(
                    !line.contains("use crate::{"),
                    "{folder}: {module}: import from the module that owns the name: {line}"
                );
                assert!(!line.contains("super::super"), "{folder}: {module}: {line}");
            }
        }
    }
}

#[test]
fn the_readme_shows_the_ticker() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap();
    let (readme, ticker) = (read("README.md"), read("examples/ticker.rs"));
    let program = readme.split("```rust,no_run\n").nth(1).unwrap().split("```").next().unwrap();
    for line in program.lines() {
        // The example takes its port from the environment.
        assert!(ticker.contains(line) || line.contains("tornadose::serve("), "not in the example: {line}");
    }
}

/// A log event in the code, or a row of the table of log events: its message, level and fields.
type LogEvent = (String, String, BTreeSet<String>);

/// The log events of a file. Each is a call of a macro of `tracing`, with `target` first and the message last.
fn log_events(text: &str) -> Vec<LogEvent> {
    let code = code(text);
    let mut events = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for call in code.split(&format!("tracing::{level}!(")).skip(1) {
            let call = call.split(");\n").next().unwrap();
            let arguments: Vec<&str> = call.split(',').map(str::trim).filter(|argument| !argument.is_empty()).collect();
            let (message, fields) = arguments.split_last().unwrap();
            let message = message.trim_matches('"').to_owned();
            // `channel = M::CHANNEL`, `%error`, `number`
            let name = |field: &str| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']).to_owned();
            let fields = fields.iter().filter(|field| !field.starts_with("target:")).map(|field| name(field)).collect();
            events.push((message, level.to_uppercase(), fields));
        }
    }
    events
}

/// The texts in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    let cell = cell.replace("`` ", "\u{0}").replace(" ``", "\u{0}");
    let mark = if cell.contains('\u{0}') { '\u{0}' } else { '`' };
    cell.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of metrics in a text.
fn metric_names(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("tornadose_").map(|(at, _)| &text[at..]);
    let name = |rest: &str| rest.chars().take_while(|char| char.is_ascii_lowercase() || *char == '_').collect();
    starts.map(name).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../../docs/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = expressions.map(|target| target["expr"].as_str().unwrap()).collect();
    let counted: BTreeSet<String> = metric_names(include_str!("../src/metrics.rs"));
    assert!(counted.len() > 20, "the test sees the metrics");
    assert_eq!(metric_names(&expressions.join(" ")), counted);
    let table = include_str!("../src/docs/observability.md");
    for expression in expressions {
        // The labels by which a panel groups are those of its metric.
        let Some((_, grouped)) = expression.split_once(" by (") else { continue };
        let (labels, rest) = grouped.split_once(')').unwrap();
        let name = metric_names(rest).into_iter().next().unwrap();
        let row = table.lines().find(|line| line.starts_with("| `tornadose_") && line.contains(&format!("`{name}`")));
        for label in labels.split(", ") {
            assert!(row.is_some_and(|row| row.contains(&format!("`{label}`"))), "{name} has no label {label}");
        }
    }
}

#[test]
fn the_table_of_log_events_is_that_of_the_code() {
    let table = include_str!("../src/docs/observability.md");
    // Each row: messages, levels, fields. The tables of metrics have two columns.
    let rows: Vec<[BTreeSet<String>; 3]> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter_map(|row| <[&str; 3]>::try_from(row.split(" | ").collect::<Vec<_>>()).ok())
        .map(|row| row.map(quoted))
        .filter(|[messages, ..]| !messages.is_empty())
        .collect();
    let events: Vec<LogEvent> =
        ModuleGraph::of("tornadose").sources.values().flat_map(|text| log_events(text)).collect();
    assert!(events.len() > 20 && rows.len() > 20, "{} events, {} rows", events.len(), rows.len());
    for (message, level, fields) in &events {
        let row = rows.iter().find(|[messages, ..]| messages.contains(message));
        let Some([_, levels, listed]) = row else { panic!("`{message}` is not in docs/observability.md") };
        assert!(levels.contains(level), "`{message}` is logged as {level}");
        assert!(fields.is_subset(listed), "`{message}` has the fields {fields:?}");
    }
    for message in rows.iter().flat_map(|[messages, ..]| messages) {
        assert!(events.iter().any(|(logged, ..)| logged == message), "nothing logs `{message}`");
    }
}
