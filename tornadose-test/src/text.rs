//! Text for transcripts and failures: durations, and values that fit on one line.

use std::fmt::Write;
use std::time::Duration;

/// Bytes of a binary message that are printed.
const BINARY_BYTES: usize = 32;
/// Characters of a response body that are printed.
const BODY_CHARS: usize = 400;

/// Formats a duration: `15s`, `1m 30s`, `4.2s`, `250ms`.
pub(crate) fn duration(span: Duration) -> String {
    let ms = span.as_millis();
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let (hours, minutes, seconds, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let mut parts = Vec::new();
    if hours > 0 {
        parts.push(format!("{hours}h"));
    }
    if minutes > 0 {
        parts.push(format!("{minutes}m"));
    }
    if ms > 0 {
        parts.push(format!("{}s", format!("{seconds}.{ms:03}").trim_end_matches('0')));
    } else if seconds > 0 {
        parts.push(format!("{seconds}s"));
    }
    parts.join(" ")
}

/// Escapes control characters, and a trailing blank, which snapshots would lose.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        push_escaped(&mut line, char);
    }
    if line.ends_with(' ') {
        line.pop();
        line += "\\x20";
    }
    line
}

/// Formats bytes on one line: as text where they are UTF-8, as `\xHH` where they are not.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        line += &one_line(chunk.valid());
        for byte in chunk.invalid() {
            write!(line, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    line
}

/// Formats the first bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().take(BINARY_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let digits = digits.join(" ");
    if bytes.len() > BINARY_BYTES { format!("{digits} … ({} bytes)", bytes.len()) } else { digits }
}

/// Formats the beginning of a response body.
pub(crate) fn body(body: &[u8]) -> String {
    let line = bytes(body);
    match line.char_indices().nth(BODY_CHARS) {
        Some((cut, _)) => format!("{} … ({} bytes)", &line[..cut], body.len()),
        None => line,
    }
}

/// Whether a text is a JSON object or array.
pub(crate) fn is_structured(text: &str) -> bool {
    text.starts_with(['{', '[']) && is_json(text)
}

/// Whether a text is JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// Formats a text message: JSON as it is, any other text in quotes.
pub(crate) fn message(text: &str) -> String {
    if is_json(text) { one_line(text) } else { quoted(text) }
}

pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes to JSON")
}

fn push_escaped(line: &mut String, char: char) {
    match char {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\0' => line.push_str("\\0"),
        '\t' => line.push_str("\\t"),
        char if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
            line.extend(char.escape_unicode());
        }
        char => line.push(char),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, hex, message, one_line};

    #[test]
    fn durations_are_printed_in_hours_minutes_and_seconds() {
        let printed = |ms| duration(Duration::from_millis(ms));
        assert_eq!(printed(250), "250ms");
        assert_eq!(printed(15_000), "15s");
        assert_eq!(printed(4_200), "4.2s");
        assert_eq!(printed(90_000), "1m 30s");
        assert_eq!(printed(3_600_050), "1h 0.05s");
        assert_eq!(printed(7_320_000), "2h 2m");
    }

    #[test]
    fn every_value_fits_on_one_line() {
        assert_eq!(one_line("a\r\nb\0\tc\u{7f} "), "a\\r\\nb\\0\\tc\\u{7f}\\x20");
        assert_eq!(bytes(b"ok\xff\xfe\n"), "ok\\xff\\xfe\\n");
        assert_eq!(hex(&[1, 171]), "01 ab");
        assert!(hex(&[0; 33]).ends_with("00 … (33 bytes)"));
        assert_eq!(message(r#"{"a":"\n"}"#), r#"{"a":"\n"}"#);
        assert_eq!(message(r#""hello""#), r#""hello""#);
        assert_eq!(message("1"), "1");
        assert_eq!(message("[broken"), r#""[broken""#);
        assert_eq!(message("say \"hi\""), r#""say \"hi\"""#);
    }
}
