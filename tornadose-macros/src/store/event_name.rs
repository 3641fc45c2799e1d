//! The names of the events of an enum: one for each variant, as serde writes it.

use proc_macro2::Span;
use syn::Variant;
use syn::ext::IdentExt;

use super::serde_attrs::SerdeAttributes;
use crate::diagnostics::Mistakes;

/// Reports variants whose events cannot be submitted, because their names are invalid or used twice.
pub(crate) fn check<'a>(
    variants: impl Iterator<Item = &'a Variant>,
    of_enum: &SerdeAttributes,
    mistakes: &mut Mistakes,
) {
    let mut earlier: Vec<(String, String)> = Vec::new();
    for variant in variants {
        let attributes = SerdeAttributes::read(&variant.attrs);
        let word = variant.ident.unraw().to_string();
        if let Some(skip) = attributes.skip {
            let message = format!(
                "serde cannot write `{word}`, so no message of it could be submitted: remove `{skip}`, or the variant"
            );
            mistakes.at(variant.ident.span(), message);
            continue;
        }
        let Some(name) = of_variant(variant, &attributes, of_enum) else { continue };
        let at: Span = attributes.rename.map_or_else(|| variant.ident.span(), |text| text.span());
        if let Some(reason) = invalid(&name) {
            let cure = r#"rename it, as in `#[serde(rename = "failed")]`"#;
            mistakes.at(at, format!("the event of `{word}` cannot be named {name:?}, {reason}: {cure}"));
        } else if let Some((_, first)) = earlier.iter().find(|(earlier, _)| *earlier == name) {
            let message = format!(
                "the events of `{first}` and `{word}` would both be named {name:?}, so clients could not tell them apart: \
                 rename one"
            );
            mistakes.at(at, message);
        }
        earlier.push((name, word));
    }
}

/// Returns the name of the event of a variant, or `None` where it has none, or where it is not known.
pub(super) fn of_variant(variant: &Variant, attributes: &SerdeAttributes, of_enum: &SerdeAttributes) -> Option<String> {
    if of_enum.unnamed || of_enum.converted || attributes.unnamed {
        return None;
    }
    let renamed = attributes.rename.as_ref().map(syn::LitStr::value);
    Some(renamed.unwrap_or_else(|| rename(&variant.ident.unraw().to_string(), of_enum.rename_all.as_deref())))
}

/// The reason why an event cannot have the name. The library's `EventName` rejects the same names.
fn invalid(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("because an empty name is none"),
        _ if name.contains(['\r', '\n']) => Some("because a name has no line break"),
        "error" | "open" => Some("the name of an event of the browser"),
        _ if name.starts_with("tornadose:") => {
            Some("because `tornadose:` begins the names of the library's own events")
        }
        _ => None,
    }
}

/// Returns the name of a variant by serde's rule. Serde reports a rule that does not exist.
fn rename(variant: &str, rule: Option<&str>) -> String {
    match rule {
        Some("lowercase") => variant.to_ascii_lowercase(),
        Some("UPPERCASE") => variant.to_ascii_uppercase(),
        Some("camelCase") => {
            let mut characters = variant.chars();
            characters.next().map_or_else(String::new, |first| {
                let mut name = first.to_ascii_lowercase().to_string();
                name.extend(characters);
                name
            })
        }
        Some("snake_case") => snake_case(variant),
        Some("SCREAMING_SNAKE_CASE") => snake_case(variant).to_ascii_uppercase(),
        Some("kebab-case") => snake_case(variant).replace('_', "-"),
        Some("SCREAMING-KEBAB-CASE") => snake_case(variant).to_ascii_uppercase().replace('_', "-"),
        _ => variant.to_owned(),
    }
}

fn snake_case(variant: &str) -> String {
    let mut name = String::new();
    for (index, character) in variant.char_indices() {
        if index > 0 && character.is_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{invalid, rename};

    #[test]
    fn a_variant_is_renamed_as_by_serde() {
        for (rule, name) in [
            (None, "VeryTasty"),
            (Some("lowercase"), "verytasty"),
            (Some("UPPERCASE"), "VERYTASTY"),
            (Some("PascalCase"), "VeryTasty"),
            (Some("camelCase"), "veryTasty"),
            (Some("snake_case"), "very_tasty"),
            (Some("SCREAMING_SNAKE_CASE"), "VERY_TASTY"),
            (Some("kebab-case"), "very-tasty"),
            (Some("SCREAMING-KEBAB-CASE"), "VERY-TASTY"),
        ] {
            assert_eq!(rename("VeryTasty", rule), name, "{rule:?}");
        }
        assert_eq!(rename("HTTPError", Some("snake_case")), "h_t_t_p_error");
        assert_eq!(rename("", Some("camelCase")), "");
    }

    #[test]
    fn a_name_that_no_event_can_have_is_invalid() {
        for name in ["", "error", "open", "a\nid: 9", "a\rb", "tornadose:gap"] {
            assert!(invalid(name).is_some(), "{name:?}");
        }
        for name in ["Error", "opened", "said", "tornadose", "größe"] {
            assert!(invalid(name).is_none(), "{name:?}");
        }
    }
}
