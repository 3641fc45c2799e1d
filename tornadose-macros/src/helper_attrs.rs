//! Reads the inert attributes on fields and variants: `#[key]`, `#[latest]`, `#[query("name")]`.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta};

use crate::diagnostics::Mistakes;
use crate::value::peel;

/// The attribute with this name, once; a second one is a mistake.
pub(crate) fn find<'a>(
    attributes: &'a [Attribute],
    name: &str,
    place: &str,
    mistakes: &mut Mistakes,
) -> Option<&'a Attribute> {
    let mut named = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    let first = named.next();
    for again in named {
        mistakes.on(again, format!("`#[{name}]` is written twice on this {place}; keep one"));
    }
    first
}

/// That nothing stands behind the name; `message` when something does.
pub(crate) fn bare(attribute: &Attribute, message: &str, mistakes: &mut Mistakes) {
    if !matches!(attribute.meta, Meta::Path(_)) {
        mistakes.on(attribute, message);
    }
}

/// The name in quotes, when there is one.
pub(crate) fn name(attribute: &Attribute, word: &str) -> Result<Option<LitStr>, syn::Error> {
    let read = match &attribute.meta {
        Meta::Path(_) => return Ok(None),
        Meta::List(list) => list.parse_args::<Expr>().ok(),
        Meta::NameValue(_) => None,
    };
    if let Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) = read.as_ref().map(peel) {
        return Ok(Some(name.clone()));
    }
    let message = format!("`#[{word}]` takes the name in quotes, as in `#[{word}(\"name\")]`");
    Err(syn::Error::new_spanned(attribute, message))
}

/// Whether serde leaves the field out.
pub(crate) fn is_skipped(attributes: &[Attribute]) -> bool {
    let mut skipped = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // Serde itself tells what is wrong in its attribute.
        let _read = attribute.parse_nested_meta(|option| {
            skipped |= ["skip", "skip_serializing", "skip_deserializing"].iter().any(|word| option.path.is_ident(word));
            if option.input.peek(syn::Token![=]) {
                option.value()?.parse::<Expr>()?;
            }
            Ok(())
        });
    }
    skipped
}
