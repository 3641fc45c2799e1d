//! Replaces the expansion after a mistake, so that rustc reports no consequences of it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use super::args::Args;
use crate::generics::concretize;
use crate::runtime::Runtime;
use crate::threads;

pub(crate) fn stub(args: &Args, item: &DeriveInput) -> TokenStream {
    let rt = Runtime::new(args.library.clone());
    let (name, visibility) = (&item.ident, &item.vis);
    let (generics, arguments) = concretize(&item.generics);
    let bound = threads::bound(name, &threads::unchecked(item), &rt);
    let subscriber = |message: &TokenStream| {
        quote! {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #generics #rt::Subscriber for #name #arguments #bound {
                type Message = #message;

                fn from_request(
                    _: &#rt::Request,
                    _: &#rt::Depot,
                ) -> ::core::result::Result<Self, #rt::StatusError> {
                    loop {}
                }
                fn keys(&self) -> #rt::Keys<#rt::KeyOf<Self>> {
                    loop {}
                }
            }
        }
    };
    let schema = args.schema.then(|| {
        quote! {
            #[automatically_derived]
            impl #generics #rt::SubscriberSchema for #name #arguments #bound {
                const NAME: &'static ::core::primitive::str = "";
            }
        }
    });
    if let Some(message) = &args.store {
        let subscriber = subscriber(&quote!(#message));
        return quote! {
            #subscriber
            #schema

            impl #generics #name #arguments {
                #[allow(dead_code, deprecated, private_interfaces)]
                #visibility fn handler(_: &#rt::Store<#message>) -> #rt::StreamHandler<Self> {
                    loop {}
                }
            }
        };
    }
    // The type of the store is missing. A type of our own is the message, and `handler` takes a store of any type.
    let subscriber = subscriber(&quote!(__NoMessage));
    quote! {
        const _: () = {
            pub enum __NoMessage {}

            impl #rt::Message for __NoMessage {
                type Key = #rt::NoKey;
                const CHANNEL: &'static ::core::primitive::str = "";

                fn key(&self) -> #rt::NoKey {
                    loop {}
                }
                fn retention(&self) -> #rt::Retention {
                    loop {}
                }
                fn event(&self) -> ::core::result::Result<#rt::Event, #rt::EncodeError> {
                    loop {}
                }
            }

            #subscriber
        };
        #schema

        impl #generics #name #arguments {
            #[allow(dead_code, deprecated, private_interfaces)]
            #visibility fn handler<M: #rt::Message>(_: &#rt::Store<M>) -> #rt::StreamHandler<Self> {
                loop {}
            }
        }
    }
}
