//! `#[engine_test]`: one declaration, one test for each engine, so that nobody has to remember the second.

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand(item: syn::ItemFn) -> TokenStream {
    let syn::ItemFn { attrs, sig, block, .. } = item;
    let (name, inputs) = (&sig.ident, &sig.inputs);
    quote! {
        mod #name {
            use super::*;

            #(#attrs)*
            fn body(#inputs) #block

            #[test]
            fn sqlite() {
                World::on_sqlite(body);
            }

            #[test]
            fn postgres() {
                World::on_postgres(body);
            }
        }
    }
}
