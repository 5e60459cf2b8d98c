//! `#[shape]`: a structure that travels.

use proc_macro2::TokenStream;
use quote::quote;

use crate::field::Member;

pub(crate) fn expand(mut item: syn::ItemStruct) -> syn::Result<TokenStream> {
    let mut described = Vec::new();
    for field in &mut item.fields {
        let member = Member::read(field)?;
        let serde = member.serde();
        described.push(member.described());
        field.attrs.push(syn::parse_quote!(#serde));
    }
    let name = &item.ident;
    Ok(quote! {
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #item

        impl ::carillon_model::shape::Described for #name {
            fn shape() -> ::carillon_model::shape::Shape {
                ::carillon_model::shape::Shape::Structure(vec![#(#described),*])
            }
        }
    })
}
