//! Types that no text of a request can be read as, as far as their names tell.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, Type};

use super::fields::Source;

const LISTS: [&str; 6] = ["Vec", "VecDeque", "LinkedList", "BinaryHeap", "HashSet", "BTreeSet"];
const MAPS: [&str; 2] = ["HashMap", "BTreeMap"];
/// Types that are one text.
const TEXTS: [&str; 17] = [
    "String", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
    "f32", "f64",
];
/// Types that are read as what they contain.
const WRAPPERS: [&str; 4] = ["Option", "Box", "Arc", "Rc"];

/// Returns the mistake in the type of a field with this source, if any.
pub(crate) fn check(ty: &Type, source: &Source) -> Option<syn::Error> {
    let (place, may_repeat) = match source {
        Source::Param(_) => ("path parameter", false),
        Source::Query(_) | Source::SplitQuery { .. } => ("query parameter", true),
        Source::Header(_) => ("header", false),
        Source::Cookie(_) => ("cookie", false),
        Source::Depot
        | Source::DepotNamed(_)
        | Source::DepotField { .. }
        | Source::Ticket
        | Source::State
        | Source::Connection
        | Source::StoreHandle => return None,
    };
    let message = match kind(ty) {
        Kind::Borrowed => {
            "a field must own its data, because it is read from the request: use `String` instead of `&str`".into()
        }
        Kind::Map => format!("a {place} is a text, which cannot be read as a `{}`", written(ty)),
        Kind::List if !may_repeat => format!(
            "a {place} is one text, which cannot be read as a `{}`: use `String` and split it, or `#[query]`, which may be \
             repeated",
            written(ty)
        ),
        Kind::ListOfLists => {
            format!("each {place} is one text, which cannot be read as a list: `{}` has lists in a list", written(ty))
        }
        Kind::Text if matches!(source, Source::SplitQuery { .. }) => {
            format!("`separator` splits into several values, and a `{0}` is one: write `Vec<{0}>`", written(ty))
        }
        Kind::List | Kind::Text | Kind::Other => return None,
    };
    Some(syn::Error::new_spanned(ty, message))
}

enum Kind {
    Borrowed,
    List,
    ListOfLists,
    Map,
    Text,
    Other,
}

/// Whether the type is a list, as far as its name tells.
pub(crate) fn is_list(ty: &Type) -> bool {
    matches!(kind(ty), Kind::List | Kind::ListOfLists)
}

/// Returns the type of the value of an `Option`, as far as its name tells.
pub(crate) fn option_value(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Group(group) => option_value(&group.elem),
        Type::Paren(paren) => option_value(&paren.elem),
        Type::Path(path) => {
            let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(value) => Some(value),
                _ => None,
            })
        }
        _ => None,
    }
}

fn kind(ty: &Type) -> Kind {
    match ty {
        Type::Group(group) => kind(&group.elem),
        Type::Paren(paren) => kind(&paren.elem),
        // The attribute reports a lifetime of the struct, and rustc one that is missing.
        Type::Reference(reference)
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") =>
        {
            Kind::Borrowed
        }
        Type::Array(array) => list_of(&array.elem),
        Type::Slice(slice) => list_of(&slice.elem),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => Kind::List,
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Kind::Other };
            let is_one_of = |names: &[&str]| names.iter().any(|name| last.ident == name);
            let PathArguments::AngleBracketed(arguments) = &last.arguments else {
                return if is_one_of(&TEXTS) { Kind::Text } else { Kind::Other };
            };
            let element = arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(element) => Some(element),
                _ => None,
            });
            match element {
                Some(_) if is_one_of(&MAPS) => Kind::Map,
                Some(element) if is_one_of(&LISTS) => list_of(element),
                Some(element) if is_one_of(&WRAPPERS) => kind(element),
                _ => Kind::Other,
            }
        }
        _ => Kind::Other,
    }
}

fn list_of(element: &Type) -> Kind {
    match kind(element) {
        Kind::List | Kind::ListOfLists => Kind::ListOfLists,
        Kind::Text | Kind::Other => Kind::List,
        other => other,
    }
}

/// Returns the type as rustfmt writes it.
fn written(ty: &Type) -> String {
    ty.to_token_stream()
        .to_string()
        .replace(" < ", "<")
        .replace("< ", "<")
        .replace(" >", ">")
        .replace(" :: ", "::")
        .replace(" , ", ", ")
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::{check, option_value, written};
    use crate::subscriber::fields::Source;

    #[test]
    fn a_list_is_read_from_query_parameters_alone() {
        for (ty, query, header) in [
            (parse_quote!(String), true, true),
            (parse_quote!(Option<u8>), true, true),
            (parse_quote!(Option<std::vec::Vec<String>>), true, false),
            (parse_quote!([u8; 2]), true, false),
            (parse_quote!((u8, u8)), true, false),
            (parse_quote!(Box<[u8]>), true, false),
            (parse_quote!(()), true, true),
            (parse_quote!(Vec<Vec<u8>>), false, false),
            (parse_quote!(std::collections::HashMap<String, u8>), false, false),
            (parse_quote!(&'static str), false, false),
            (parse_quote!(Vec), true, true),
        ] {
            let ty: syn::Type = ty;
            assert_eq!(check(&ty, &Source::Query("x".into())).is_none(), query, "{}", written(&ty));
            assert_eq!(check(&ty, &Source::Header("x".into())).is_none(), header, "{}", written(&ty));
            assert!(check(&ty, &Source::Depot).is_none());
        }
    }

    #[test]
    fn the_value_of_an_option_is_found() {
        for (ty, value) in [
            (parse_quote!(Option<u8>), Some(parse_quote!(u8))),
            (parse_quote!(std::option::Option<Vec<u8>>), Some(parse_quote!(Vec<u8>))),
            (parse_quote!(Vec<Option<u8>>), None::<syn::Type>),
            (parse_quote!(Option), None),
        ] {
            let ty: syn::Type = ty;
            assert_eq!(option_value(&ty).map(written), value.as_ref().map(written));
        }
    }

    #[test]
    fn a_type_is_written_as_by_rustfmt() {
        for text in ["Vec<String>", "Option<std::vec::Vec<String>>", "HashMap<String, u8>"] {
            let ty: syn::Type = syn::parse_str(text).expect("a type");
            assert_eq!(written(&ty), text);
        }
    }
}
