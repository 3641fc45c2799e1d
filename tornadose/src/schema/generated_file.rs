//! A generated file, and the test that a committed copy of it is current.

use std::fmt;
use std::path::Path;

/// The variable of the environment with which a test writes the file instead of comparing it.
const WRITE: &str = "TORNADOSE_WRITE";

/// The text of a generated file. `Display` shows it.
///
/// ```
/// let document = tornadose::schema().asyncapi();
/// assert!(document.to_string().starts_with("{\n  \"asyncapi\": \"3.0.0\","));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is neither written nor compared"]
pub struct GeneratedFile {
    text: String,
    /// The mistakes in the descriptions, such as a parameter that a path does not have.
    mistakes: Vec<String>,
}

impl GeneratedFile {
    pub(crate) fn new(text: String, mistakes: Vec<String>) -> Self {
        Self { text, mistakes }
    }

    /// Asserts that the file at this path has this text. Line ends of either kind are equal.
    ///
    /// With the variable `TORNADOSE_WRITE=1` in the environment it writes the file, and the folder that it belongs into.
    /// A test of Cargo runs in the folder of its package, so the path is relative to that.
    ///
    /// # Panics
    ///
    /// The file differs, cannot be read, or cannot be written; or a path of [`route`](crate::schema::Streams::route) has no
    /// parameter that its subscriber reads. The message names the first line that differs, and says how to renew the file.
    ///
    /// ```
    /// let folder = std::env::temp_dir().join(format!("tornadose-{}", std::process::id()));
    /// let path = folder.join("tornadose.d.ts");
    /// let types = tornadose::schema().typescript();
    /// let stale = std::panic::catch_unwind(|| types.assert_committed(&path)).unwrap_err();
    /// assert!(stale.downcast_ref::<String>().unwrap().contains("TORNADOSE_WRITE=1 cargo test"));
    ///
    /// std::fs::create_dir_all(&folder).unwrap();
    /// std::fs::write(&path, types.to_string()).unwrap();
    /// types.assert_committed(&path);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// ```
    #[track_caller]
    pub fn assert_committed(&self, path: impl AsRef<Path>) {
        let writes = std::env::var_os(WRITE).is_some_and(|value| value == "1");
        if let Err(reason) = self.compare(path.as_ref(), writes) {
            panic!("{reason}");
        }
    }

    fn compare(&self, path: &Path, writes: bool) -> Result<(), String> {
        if let Some(mistake) = self.mistakes.first() {
            return Err(mistake.clone());
        }
        let shown = path.display();
        if writes {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            return folder
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(path, &self.text))
                .map_err(|error| format!("cannot write `{shown}`: {error}"));
        }
        let renew = format!("run `{WRITE}=1 cargo test` and commit the file");
        let committed =
            std::fs::read_to_string(path).map_err(|error| format!("cannot read `{shown}`: {error}; {renew}"))?;
        let (mut old, mut new) = (committed.lines(), self.text.lines());
        let mut line = 0_usize;
        loop {
            line += 1;
            match (old.next(), new.next()) {
                (None, None) => return Ok(()),
                (old, new) if old == new => {}
                (old, new) => {
                    let (old, new) = (old.unwrap_or("(the end)"), new.unwrap_or("(the end)"));
                    return Err(format!("`{shown}` is stale: {renew}\n{shown}:{line}:\n- {old}\n+ {new}"));
                }
            }
        }
    }
}

impl fmt::Display for GeneratedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::GeneratedFile;

    #[test]
    fn a_committed_file_is_compared_and_renewed() {
        let folder = std::env::temp_dir().join(format!("tornadose-generated-{}", std::process::id()));
        let path = folder.join("deep/types.d.ts");
        let file = GeneratedFile::new("one\ntwo\n".into(), Vec::new());
        assert!(file.compare(&path, false).unwrap_err().contains("TORNADOSE_WRITE=1 cargo test"));
        file.compare(&path, true).unwrap();
        file.compare(&path, false).unwrap();
        std::fs::write(&path, "one\r\ntwo\r\n").unwrap();
        file.compare(&path, false).unwrap();
        for (committed, difference) in [
            ("one\n2\n", "2:\n- 2\n+ two"),
            ("one\n", "2:\n- (the end)\n+ two"),
            ("one\ntwo\n3\n", "3:\n- 3\n+ (the end)"),
        ] {
            std::fs::write(&path, committed).unwrap();
            let reason = file.compare(&path, false).unwrap_err();
            assert!(reason.contains("is stale") && reason.ends_with(difference), "{reason}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_mistake_in_the_descriptions_fails_although_the_file_is_current() {
        let file = GeneratedFile::new(String::new(), vec!["no `{room}`".into()]);
        assert_eq!(file.compare("/nowhere".as_ref(), true), Err("no `{room}`".into()));
    }
}
