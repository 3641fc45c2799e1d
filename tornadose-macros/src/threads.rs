//! The check that each field may be used by several threads.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Field, GenericArgument, PathArguments, Type};

use crate::runtime::Runtime;
use crate::spans::type_span;

/// Types of the standard library that are thread-safe when their arguments are. Fields of these types are not checked,
/// so that the expansion of most items has no check.
const THREAD_SAFE: [&str; 32] = [
    "String",
    "str",
    "bool",
    "char",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "f32",
    "f64",
    "Option",
    "Vec",
    "VecDeque",
    "Box",
    "Arc",
    "Mutex",
    "RwLock",
    "HashMap",
    "HashSet",
    "BTreeMap",
    "BTreeSet",
    "Duration",
    "Instant",
    "SystemTime",
];

/// Whether the type has to be checked: it may not be thread-safe, as far as its name tells.
pub(crate) fn is_unknown(ty: &Type) -> bool {
    match ty {
        Type::Group(group) => is_unknown(&group.elem),
        Type::Paren(paren) => is_unknown(&paren.elem),
        Type::Array(array) => is_unknown(&array.elem),
        Type::Slice(slice) => is_unknown(&slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter().any(is_unknown),
        // Rustc, or the attribute, reports a lifetime.
        Type::Reference(_) => false,
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let is_argument_unknown = match &last.arguments {
                PathArguments::None => false,
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().any(|argument| match argument {
                    GenericArgument::Type(ty) => is_unknown(ty),
                    _ => false,
                }),
                PathArguments::Parenthesized(_) => true,
            };
            is_argument_unknown || THREAD_SAFE.iter().all(|name| last.ident != name)
        }),
        _ => true,
    }
}

/// Returns a constant that compiles when the type is thread-safe. The error is reported at the type.
pub(crate) fn check(ty: &Type, rt: &Runtime) -> TokenStream {
    let at = type_span(ty);
    let here = rt.at(at);
    quote_spanned!(at=> <#ty as #here::ThreadSafe>::CHECKED)
}

/// Returns the types of the fields that have to be checked. A generic item is a mistake, of which no field is checked.
pub(crate) fn unchecked(item: &DeriveInput) -> Vec<Type> {
    let fields: Vec<&Field> = match &item.data {
        _ if !item.generics.params.is_empty() => Vec::new(),
        Data::Struct(body) => body.fields.iter().collect(),
        Data::Enum(body) => body.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    fields.into_iter().map(|field| &field.ty).filter(|ty| is_unknown(ty)).cloned().collect()
}

/// Returns the `where` of an implementation for the item with this name, or `None` without types to check.
///
/// An implementation of a trait that requires `Send` and `Sync` would report each of them again. After a check that did
/// not compile, the type in the bound is known to be wrong, and rustc takes both as given.
pub(crate) fn bound(name: &Ident, unchecked: &[Type], rt: &Runtime) -> Option<TokenStream> {
    let checks = unchecked.iter().map(|ty| check(ty, rt));
    let checked = quote!(#rt::AfterCheck<#name, { #(#checks)&* }>);
    (!unchecked.is_empty()).then(|| quote!(where #checked: ::core::marker::Send + ::core::marker::Sync))
}

#[cfg(test)]
mod tests {
    use super::is_unknown;

    #[test]
    fn a_type_is_known_when_all_of_its_parts_are() {
        for known in ["String", "Option<std::vec::Vec<u8>>", "(u8, [bool; 3])", "HashMap<String, Arc<[u8]>>", "()"] {
            assert!(!is_unknown(&syn::parse_str(known).expect("a type")), "{known}");
        }
        for unknown in ["Rc<str>", "Vec<RefCell<u8>>", "User", "*const u8", "Box<dyn Fn()>", "fn()"] {
            assert!(is_unknown(&syn::parse_str(unknown).expect("a type")), "{unknown}");
        }
    }
}
