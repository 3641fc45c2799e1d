//! The `#[serde(…)]` attributes that decide the name of an event. Serde reports mistakes in them.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, LitStr, Token};

/// The serde attributes of a type or of one of its variants.
#[derive(Default)]
pub(crate) struct SerdeAttributes {
    /// The name that a variant is renamed to.
    pub(crate) rename: Option<LitStr>,
    /// The rule by which variants are renamed, such as `snake_case`.
    pub(crate) rename_all: Option<String>,
    /// The value is written without the name of its variant: `tag` or `untagged`.
    pub(crate) unnamed: bool,
    /// Another type is written: `into`.
    pub(crate) converted: bool,
    /// The word that skips the variant.
    pub(crate) skip: Option<&'static str>,
}

impl SerdeAttributes {
    pub(crate) fn read(attributes: &[Attribute]) -> Self {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            let _ignored = attribute.parse_nested_meta(|option| read.read_option(&option));
        }
        read
    }

    fn read_option(&mut self, option: &ParseNestedMeta<'_>) -> Result<(), syn::Error> {
        if option.path.is_ident("rename") {
            self.rename = serialized_text(option)?.or(self.rename.take());
        } else if option.path.is_ident("rename_all") {
            self.rename_all = serialized_text(option)?.map(|rule| rule.value()).or(self.rename_all.take());
        } else {
            self.unnamed |= option.path.is_ident("tag") || option.path.is_ident("untagged");
            self.converted |= option.path.is_ident("into");
            let skip = ["skip", "skip_serializing"].into_iter().find(|word| option.path.is_ident(word));
            self.skip = self.skip.or(skip);
            if option.input.peek(Token![=]) {
                option.value()?.parse::<Expr>()?;
            } else if option.input.peek(syn::token::Paren) {
                option.parse_nested_meta(|inner| inner.value()?.parse::<Expr>().map(drop))?;
            }
        }
        Ok(())
    }
}

/// Returns the text of `word = "text"` or `word(serialize = "text")`.
fn serialized_text(option: &ParseNestedMeta<'_>) -> Result<Option<LitStr>, syn::Error> {
    if option.input.peek(Token![=]) {
        return option.value()?.parse().map(Some);
    }
    let mut text = None;
    option.parse_nested_meta(|inner| {
        let value: LitStr = inner.value()?.parse()?;
        if inner.path.is_ident("serialize") {
            text = Some(value);
        }
        Ok(())
    })?;
    Ok(text)
}
