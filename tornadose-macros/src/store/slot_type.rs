//! Expands to the type of the slots, a struct or an enum, and to `impl Slotted`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Visibility;
use syn::ext::IdentExt;

use super::key_json::serialize_part;
use super::model::{Key, Model, Shape};
use super::retention::Retention;
use crate::runtime::Runtime;
use crate::spans::{generated_local_span, hygienic_ident, type_span};
use crate::threads;

/// The slots of a struct, or of one variant.
pub(super) struct SlotShape<'a> {
    pub(super) variant: Option<&'a Ident>,
    pub(super) fields: &'a [Key],
}

/// Returns the type, its implementations and `impl Slotted`, or `None` for a type without slots.
pub(super) fn slot_type(model: &Model) -> Option<TokenStream> {
    let shapes = match &model.shape {
        Shape::Struct { slots, .. } => vec![SlotShape { variant: None, fields: slots }],
        Shape::Enum(variants) => {
            let latest = variants.iter().filter(|variant| variant.retention == Retention::Latest);
            latest.map(|variant| SlotShape { variant: Some(&variant.name), fields: &variant.slots }).collect()
        }
    };
    let shapes: Vec<SlotShape<'_>> = shapes.into_iter().filter(|shape| !shape.fields.is_empty()).collect();
    if shapes.is_empty() {
        return None;
    }
    let Model { name, visibility, runtime: rt, .. } = model;
    let slot = slot_name(name);
    let items = items(rt, name, visibility, &shapes);
    let bound = threads::bound(name, &model.unchecked, rt);
    let arms = shapes.iter().map(|shape| {
        let (pattern, literal) = (shape.pattern(&quote!(Self), ""), shape.path(&quote!(#slot)));
        let fields = shape.literal(rt, |at, here, binding| quote_spanned!(at=> #here::KeyField::clone_field(#binding)));
        quote!(#pattern => ::core::option::Option::Some(#literal { #(#fields,)* }),)
    });
    let rest = match &model.shape {
        Shape::Enum(variants) if variants.len() > shapes.len() => Some(quote!(_ => ::core::option::Option::None,)),
        _ => None,
    };
    Some(quote! {
        #items

        #[automatically_derived]
        #[allow(deprecated, unused_qualifications)]
        impl #rt::Slotted for #name #bound {
            type Slot = #slot;

            fn slot(&self) -> ::core::option::Option<#slot> {
                match self { #(#arms)* #rest }
            }
        }
    })
}

pub(super) fn slot_name(name: &Ident) -> Ident {
    format_ident!("{}Slot", name.unraw(), span = name.span())
}

/// Returns the type of the slots, and the implementations of `Clone`, `Debug`, `PartialEq`, `Eq`, `Hash` and `Serialize`.
/// They reach the fields as those of the key's struct do.
pub(super) fn items(rt: &Runtime, name: &Ident, visibility: &Visibility, shapes: &[SlotShape<'_>]) -> TokenStream {
    let slot = slot_name(name);
    let definition = definition(name, visibility, shapes);
    let (other, state, formatter) =
        (hygienic_ident("other", name.span()), hygienic_ident("state", name.span()), hygienic_ident("f", name.span()));
    let this = quote!(Self);
    let clones = shapes.iter().map(|shape| {
        let (pattern, path) = (shape.pattern(&this, ""), shape.path(&this));
        let fields = shape.literal(rt, |at, here, binding| quote_spanned!(at=> #here::KeyField::clone_field(#binding)));
        quote!(#pattern => #path { #(#fields,)* },)
    });
    let debugs = shapes.iter().map(|shape| {
        let (pattern, text) = (shape.pattern(&this, ""), shape.variant.unwrap_or(&slot).unraw().to_string());
        let texts = shape.fields.iter().map(|field| field.name.unraw().to_string());
        let values = shape.calls(rt, |at, here, binding| quote_spanned!(at=> #here::KeyField::debug_field(#binding)));
        quote!(#pattern => #formatter.debug_struct(#text) #(.field(#texts, #values))* .finish(),)
    });
    let equals = shapes.iter().map(|shape| {
        let (pattern, of_other) = (shape.pattern(&this, ""), shape.pattern(&this, "0_"));
        let values = shape.fields.iter().map(|field| {
            let at = generated_local_span(type_span(&field.ty));
            let (here, binding, of_other) = (rt.at(at), binding(field, ""), binding(field, "0_"));
            quote_spanned!(at=> #here::KeyField::eq_field(#binding, #of_other))
        });
        quote!((#pattern, #of_other) => #(#values)&&*,)
    });
    let unequal = (shapes.len() > 1).then(|| quote!(_ => false,));
    let hashes = shapes.iter().map(|shape| {
        let pattern = shape.pattern(&this, "");
        let calls =
            shape.calls(rt, |at, here, binding| quote_spanned!(at=> #here::KeyField::hash_field(#binding, #state)));
        quote!(#pattern => { #(#calls;)* })
    });
    let hash_variant =
        shapes[0].variant.map(|_| quote!(::core::hash::Hash::hash(&::core::mem::discriminant(self), #state);));
    let serialize = serialize(rt, name, shapes);
    quote! {
        #definition

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::clone::Clone for #slot {
            fn clone(&self) -> Self {
                match self { #(#clones)* }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::fmt::Debug for #slot {
            fn fmt(&self, #formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #(#debugs)* }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::cmp::PartialEq for #slot {
            fn eq(&self, #other: &Self) -> ::core::primitive::bool {
                match (self, #other) { #(#equals)* #unequal }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::cmp::Eq for #slot {}

        #[automatically_derived]
        #[allow(deprecated)]
        impl ::core::hash::Hash for #slot {
            fn hash<__H: ::core::hash::Hasher>(&self, #state: &mut __H) {
                #hash_variant
                match self { #(#hashes)* }
            }
        }

        #serialize
    }
}

fn definition(name: &Ident, visibility: &Visibility, shapes: &[SlotShape<'_>]) -> TokenStream {
    let slot = slot_name(name);
    let doc = format!("The slot of a [`{name}`]: of each slot of a key the newest value is kept.");
    let lints = quote!(#[allow(deprecated, private_interfaces, non_camel_case_types, non_snake_case)]);
    let field = |visibility: Option<&Visibility>, Key { name, ty, .. }: &Key| {
        let doc = format!("The message's `{name}`.");
        quote!(#[doc = #doc] #visibility #name: #ty)
    };
    if let [SlotShape { variant: None, fields }] = shapes {
        let fields = fields.iter().map(|of_slot| field(Some(visibility), of_slot));
        return quote!(#[doc = #doc] #lints #visibility struct #slot { #(#fields,)* });
    }
    let variants = shapes.iter().filter_map(|SlotShape { variant, fields }| {
        let variant = (*variant)?;
        let doc = format!("The slot of a `{variant}`.");
        let fields = fields.iter().map(|of_slot| field(None, of_slot));
        Some(quote!(#[doc = #doc] #variant { #(#fields,)* }))
    });
    quote!(#[doc = #doc] #lints #visibility enum #slot { #(#variants,)* })
}

/// Returns `impl Serialize`: the fields of a struct, and those of a variant under the variant's name.
fn serialize(rt: &Runtime, name: &Ident, shapes: &[SlotShape<'_>]) -> TokenStream {
    let (slot, serializer, state) =
        (slot_name(name), hygienic_ident("serializer", name.span()), hygienic_ident("fields", name.span()));
    let text = slot.to_string();
    let arms = shapes.iter().enumerate().map(|(index, shape)| {
        let (pattern, count) = (shape.pattern(&quote!(Self), ""), shape.fields.len());
        let Some(variant) = shape.variant else {
            let fields = shape.fields.iter().map(|field| serialize_part(rt, field, binding(field, ""), &state));
            return quote! {
                #pattern => {
                    #[allow(unused_imports)]
                    use #rt::NotSerialized as _;
                    let mut #state = #rt::Serializer::serialize_struct(#serializer, #text, #count)?;
                    #(#fields)*
                    #rt::SerializeStruct::end(#state)
                }
            };
        };
        let (index, variant) = (u32::try_from(index).unwrap_or(u32::MAX), variant.unraw().to_string());
        let holder = hygienic_ident("Fields", name.span());
        let types = shape.fields.iter().map(|field| &field.ty);
        let bindings: Vec<Ident> = shape.fields.iter().map(|field| binding(field, "")).collect();
        let fields = shape.fields.iter().map(|field| serialize_part(rt, field, binding(field, ""), &state));
        quote! {
            #pattern => {
                struct #holder<'field>(#(&'field #types),*);
                impl #rt::Serialize for #holder<'_> {
                    fn serialize<__S: #rt::Serializer>(
                        &self,
                        #serializer: __S,
                    ) -> ::core::result::Result<__S::Ok, __S::Error> {
                        #[allow(unused_imports)]
                        use #rt::NotSerialized as _;
                        let Self(#(#bindings),*) = *self;
                        let mut #state = #rt::Serializer::serialize_struct(#serializer, #variant, #count)?;
                        #(#fields)*
                        #rt::SerializeStruct::end(#state)
                    }
                }
                #rt::Serializer::serialize_newtype_variant(
                    #serializer, #text, #index, #variant, &#holder(#(#bindings),*),
                )
            }
        }
    });
    quote! {
        #[automatically_derived]
        #[allow(deprecated, unused_qualifications)]
        impl #rt::Serialize for #slot {
            fn serialize<__S: #rt::Serializer>(
                &self,
                #serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                match self { #(#arms)* }
            }
        }
    }
}

/// The variable that a pattern binds a field to.
pub(super) fn binding(field: &Key, prefix: &str) -> Ident {
    hygienic_ident(&format!("{prefix}{}", field.name.unraw()), type_span(&field.ty))
}

impl SlotShape<'_> {
    fn path(&self, of: &TokenStream) -> TokenStream {
        self.variant.map_or_else(|| of.clone(), |variant| quote!(#of::#variant))
    }

    /// Returns a pattern that binds each field, to a variable whose name has the prefix.
    fn pattern(&self, of: &TokenStream, prefix: &str) -> TokenStream {
        let path = self.path(of);
        let fields = self.fields.iter().map(|field| {
            let (name, binding) = (&field.name, binding(field, prefix));
            quote!(#name: #binding)
        });
        quote!(#path { #(#fields,)* .. })
    }

    /// Returns the fields of a literal, each with the value of its binding.
    fn literal(&self, rt: &Runtime, value: impl Fn(Span, TokenStream, Ident) -> TokenStream) -> Vec<TokenStream> {
        let values = self.calls(rt, value).into_iter().zip(self.fields);
        values.map(|(value, Key { name, .. })| quote!(#name: #value)).collect()
    }

    /// Returns an expression for each binding, located at the type of its field.
    fn calls(&self, rt: &Runtime, call: impl Fn(Span, TokenStream, Ident) -> TokenStream) -> Vec<TokenStream> {
        let call = |field: &Key| {
            let at = generated_local_span(type_span(&field.ty));
            call(at, rt.at(at), binding(field, ""))
        };
        self.fields.iter().map(call).collect()
    }
}
