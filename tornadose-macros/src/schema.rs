//! The option `schema`, which both attributes have.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use crate::diagnostics::Mistakes;
use crate::raw_option::RawOption;

/// Reads the option. It needs the feature `schema`, which the library's feature of that name switches on here too.
pub(crate) fn read(option: &RawOption, mistakes: &mut Mistakes) -> bool {
    option.flag(mistakes);
    let is_available = cfg!(any(feature = "schema", test));
    if !is_available {
        let message = "`schema` needs the feature of that name: add it to the dependency `tornadose`, as in \
                       `features = [\"schema\"]`";
        mistakes.at(option.name.span(), message);
    }
    is_available
}

/// Returns the text of the item's documentation, without the space that follows the slashes.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::description;

    #[test]
    fn the_documentation_is_the_description() {
        let item: syn::ItemStruct = parse_quote! {
            /// One line.
            ///
            ///     indented
            #[doc = "And another."]
            #[doc(hidden)]
            struct Documented;
        };
        assert_eq!(description(&item.attrs), "One line.\n\n    indented\nAnd another.");
        let item: syn::ItemStruct = parse_quote!(
            struct Bare;
        );
        assert_eq!(description(&item.attrs), "");
    }
}
