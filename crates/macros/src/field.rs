//! One field of a declaration: its name on the wire, its place, its bounds.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parse;
use syn::{Attribute, Field, Ident, LitInt, LitStr, Token, Type};

pub(crate) struct Member {
    pub(crate) ident: Ident,
    pub(crate) kind: Type,
    /// The type inside an `Option`, where it is one.
    pub(crate) optional: Option<Type>,
    pub(crate) place: Place,
    /// As the interface names it.
    pub(crate) wire: String,
    pub(crate) length: Option<(u64, u64)>,
    /// A name that it had before, under which it is still read.
    pub(crate) former: Option<String>,
}

pub(crate) enum Place {
    Body,
    Label(String),
    Query(String),
    Header(String),
}

impl Member {
    /// Reads a field and takes our attributes off it.
    pub(crate) fn read(field: &mut Field) -> syn::Result<Self> {
        let ident =
            field.ident.clone().ok_or_else(|| syn::Error::new_spanned(&*field, "a member has a name"))?;
        let name = ident.to_string();
        let mut member = Self {
            kind: field.ty.clone(),
            optional: inside_option(&field.ty),
            place: Place::Body,
            wire: pascal(&name),
            length: None,
            former: None,
            ident,
        };
        for attribute in &field.attrs {
            member.apply(attribute, &name)?;
        }
        field.attrs.retain(|attribute| !is_ours(attribute));
        Ok(member)
    }

    fn apply(&mut self, attribute: &Attribute, name: &str) -> syn::Result<()> {
        let text = || attribute.parse_args::<LitStr>().map(|literal| literal.value());
        if attribute.path().is_ident("label") {
            self.place = Place::Label(camel(name));
        } else if attribute.path().is_ident("query") {
            self.place = Place::Query(text()?);
        } else if attribute.path().is_ident("header") {
            self.place = Place::Header(text()?);
        } else if attribute.path().is_ident("member") {
            self.wire = text()?;
        } else if attribute.path().is_ident("former") {
            self.former = Some(text()?);
        } else if attribute.path().is_ident("length") {
            let bounds: Bounds = attribute.parse_args()?;
            self.length = Some((bounds.0, bounds.1));
        }
        Ok(())
    }

    /// The member as data, for the conformance test.
    pub(crate) fn described(&self) -> TokenStream {
        let (wire, kind) = (&self.wire, &self.kind);
        let location = match &self.place {
            Place::Body => quote!(Body),
            Place::Label(name) => quote!(Label(#name)),
            Place::Query(name) => quote!(Query(#name)),
            Place::Header(name) => quote!(Header(#name)),
        };
        let bounds = self.length.map(|(least, most)| {
            quote! {
                if let ::carillon_model::shape::Shape::List { min, max, .. } = &mut shape {
                    (*min, *max) = (Some(#least), Some(#most));
                }
            }
        });
        quote! {{
            #[allow(unused_mut)]
            let mut shape = <#kind as ::carillon_model::shape::Described>::shape();
            #bounds
            ::carillon_model::shape::Member {
                name: #wire,
                location: ::carillon_model::shape::Location::#location,
                required: <#kind as ::carillon_model::shape::Described>::REQUIRED,
                shape,
            }
        }}
    }

    /// Attributes for serde: the names on the wire, and nothing rather than null.
    pub(crate) fn serde(&self) -> TokenStream {
        let wire = &self.wire;
        let skip =
            self.optional.is_some().then(|| quote!(, default, skip_serializing_if = "Option::is_none"));
        let former = self.former.as_ref().map(|name| quote!(, alias = #name));
        quote!(#[serde(rename = #wire #former #skip)])
    }
}

struct Bounds(u64, u64);

impl Parse for Bounds {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let least: LitInt = input.parse()?;
        input.parse::<Token![,]>()?;
        let most: LitInt = input.parse()?;
        Ok(Self(least.base10_parse()?, most.base10_parse()?))
    }
}

fn is_ours(attribute: &Attribute) -> bool {
    ["label", "query", "header", "member", "former", "length"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

fn inside_option(kind: &Type) -> Option<Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        syn::GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    }
}

fn pascal(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn camel(name: &str) -> String {
    let pascal = pascal(name);
    pascal[..1].to_lowercase() + &pascal[1..]
}
