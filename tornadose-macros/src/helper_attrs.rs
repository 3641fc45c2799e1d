//! Reads the helper attributes of the derives on items, fields and variants: `#[key]`, `#[latest]`, `#[query("name")]`.

use proc_macro2::Ident;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, ExprPath, Lit, LitStr, Member, Meta, Token, Type};

use crate::diagnostics::Mistakes;
use crate::value::ungroup;

/// Returns the attribute with this name. A second one is a mistake.
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

/// Adds the mistake `message` when the attribute has arguments.
pub(crate) fn reject_arguments(attribute: &Attribute, message: &str, mistakes: &mut Mistakes) {
    if !matches!(attribute.meta, Meta::Path(_)) {
        mistakes.on(attribute, message);
    }
}

/// Returns the name in `#[word("name")]`, or `None` for `#[word]`.
pub(crate) fn parse_name(attribute: &Attribute, word: &str) -> Result<Option<LitStr>, syn::Error> {
    let argument = match &attribute.meta {
        Meta::Path(_) => return Ok(None),
        Meta::List(list) => list.parse_args::<Expr>().ok(),
        Meta::NameValue(_) => None,
    };
    if let Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) = argument.as_ref().map(ungroup) {
        return Ok(Some(name.clone()));
    }
    let message = match word {
        "depot" => "`#[depot]` takes a name in quotes, or a type and one of its fields, as in `#[depot(\"name\")]` or \
                    `#[depot(Account, id)]`"
            .to_owned(),
        _ => format!("`#[{word}]` takes the name in quotes, as in `#[{word}(\"name\")]`"),
    };
    Err(syn::Error::new_spanned(attribute, message))
}

/// Returns the type and its field in `#[depot(Account, id)]`; `None` for any other form.
pub(crate) fn parse_depot_field(attribute: &Attribute) -> Option<(Type, Member)> {
    let Meta::List(list) = &attribute.meta else { return None };
    let parse = |input: ParseStream<'_>| {
        let ty = input.parse()?;
        input.parse::<Token![,]>()?;
        let member = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok((ty, member))
    };
    list.parse_args_with(parse).ok()
}

/// The arguments of `#[query("name", separator = ",")]`.
#[derive(Default)]
pub(crate) struct QueryArguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) separator: Option<LitStr>,
}

/// Reads `#[query]`, `#[query("name")]`, `#[query(separator = ",")]` or both arguments in this order.
pub(crate) fn parse_query(attribute: &Attribute) -> Result<QueryArguments, syn::Error> {
    let Meta::List(list) = &attribute.meta else {
        return Ok(QueryArguments { name: parse_name(attribute, "query")?, separator: None });
    };
    let arguments = list.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated).unwrap_or_default();
    let mut arguments = arguments.iter().map(ungroup).peekable();
    let name = arguments.next_if(|first| text(first).is_some()).and_then(text);
    let separator = arguments.next();
    if separator.is_none() && name.is_some() {
        return Ok(QueryArguments { name, separator: None });
    }
    let Some(Expr::Assign(separator)) = separator.filter(|_| arguments.peek().is_none()) else {
        return parse_name(attribute, "query").map(|name| QueryArguments { name, separator: None });
    };
    let message = "`#[query]` takes a name and a separator, as in `#[query(\"name\", separator = \",\")]`";
    if !matches!(ungroup(&separator.left), Expr::Path(path) if path.path.is_ident("separator")) {
        return Err(syn::Error::new_spanned(&separator.left, message));
    }
    match text(ungroup(&separator.right)) {
        Some(text) if text.value().is_empty() => {
            let message = "the separator is empty; leave it out for a parameter that is repeated";
            Err(syn::Error::new(text.span(), message))
        }
        Some(text) => Ok(QueryArguments { name, separator: Some(text) }),
        None => Err(syn::Error::new_spanned(&separator.right, message)),
    }
}

/// Returns the identifier in `#[word(name)]`; `None` for any other form.
pub(crate) fn parse_ident(attribute: &Attribute) -> Option<Ident> {
    match &attribute.meta {
        Meta::List(list) => list.parse_args().ok(),
        Meta::Path(_) | Meta::NameValue(_) => None,
    }
}

fn text(expr: &Expr) -> Option<LitStr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the function that serializes the field, in `#[serde(with = "module")]` or `#[serde(serialize_with = "path")]`.
pub(crate) fn serialize_with(attributes: &[Attribute]) -> Option<ExprPath> {
    let mut function = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // Serde reports mistakes in its own attribute.
        let _ignored = attribute.parse_nested_meta(|option| {
            if option.path.is_ident("with") {
                let mut path: ExprPath = option.value()?.parse::<LitStr>()?.parse()?;
                path.path.segments.push(Ident::new("serialize", path.path.segments.span()).into());
                function = Some(path);
            } else if option.path.is_ident("serialize_with") {
                function = Some(option.value()?.parse::<LitStr>()?.parse()?);
            } else if option.input.peek(Token![=]) {
                option.value()?.parse::<Expr>()?;
            }
            Ok(())
        });
    }
    function
}

/// Whether serde skips the field.
pub(crate) fn is_skipped(attributes: &[Attribute]) -> bool {
    let mut skipped = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // Serde reports mistakes in its own attribute.
        let _ignored = attribute.parse_nested_meta(|option| {
            skipped |= ["skip", "skip_serializing", "skip_deserializing"].iter().any(|word| option.path.is_ident(word));
            if option.input.peek(Token![=]) {
                option.value()?.parse::<Expr>()?;
            }
            Ok(())
        });
    }
    skipped
}

/// Whether a derive of serde's reads the attributes of the fields.
pub(crate) fn derives_serde(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let mut derives_serde = false;
        // Rustc reports mistakes in it.
        let _ignored = attribute.parse_nested_meta(|derive| {
            derives_serde |= derive
                .path
                .segments
                .last()
                .is_some_and(|last| last.ident == "Serialize" || last.ident == "Deserialize");
            Ok(())
        });
        derives_serde
    })
}

/// Reports `#[serde(…)]` on a field that serde does not read.
pub(crate) fn reject_serde(attributes: &[Attribute], mistakes: &mut Mistakes) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let mut words = Vec::new();
        // Of an attribute that serde would reject too, the words before the mistake are known.
        let _ignored = attribute.parse_nested_meta(|option| {
            words.extend(option.path.get_ident().map(ToString::to_string));
            if option.input.peek(Token![=]) {
                option.value()?.parse::<Expr>()?;
            }
            Ok(())
        });
        let hint = if words.iter().any(|word| word == "default") {
            "for a value that may be missing write `Option<…>`"
        } else if words.iter().any(|word| word == "rename") {
            "write the name in the attribute of the source, as in `#[query(\"name\")]`"
        } else {
            "remove it, or put it on the type of the field"
        };
        mistakes.on(attribute, format!("serde does not read the fields of a subscriber: {hint}"));
    }
}
