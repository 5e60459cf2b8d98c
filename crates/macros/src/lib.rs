//! Declarations into code: `#[operation]`, `#[shape]` and `#[engine_test]`.
//!
//! A declaration is read twice, by the compiler through the code made here and by the conformance test through
//! the members that this code records; so what is tested is what runs. The crate knows no operation.

mod engine_test;
mod field;
mod operation;
mod shape;

use proc_macro::TokenStream;

/// Makes an operation of a structure: `#[operation(POST "/channels/{channelArn}/messages" => 201, Sent)]`,
/// with what it answers at the end.
///
/// A field travels where its attribute says: `#[label]` in the path, under the field's name in camel case;
/// `#[query("max-results")]`; `#[header("x-amz-chime-bearer")]`; without one, in the JSON body, in Pascal case
/// or as `#[member("Type")]` says; `#[former("AppInstanceDataType")]` is a name under which it is read, too.
/// `#[length(1, 10)]` bounds a list. `#[errors(Conflict, NotFound)]` on the
/// structure names what the operation declares beside the five errors that are everyone's.
///
/// Members that many operations have are said by a word on the structure: `#[bearer]` is who acts, `#[paged]` is the
/// length of a page and where it begins.
#[proc_macro_attribute]
pub fn operation(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let declaration = syn::parse_macro_input!(attribute as operation::Declaration);
    let item = syn::parse_macro_input!(item as syn::ItemStruct);
    operation::expand(&declaration, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a structure one that travels: members in Pascal case, absent rather than null, with its shape known.
#[proc_macro_attribute]
pub fn shape(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::ItemStruct);
    shape::expand(item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs a test twice, once on each engine: `fn name(world: &mut World)`.
#[proc_macro_attribute]
pub fn engine_test(_: TokenStream, item: TokenStream) -> TokenStream {
    engine_test::expand(syn::parse_macro_input!(item as syn::ItemFn)).into()
}
