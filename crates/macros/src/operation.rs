//! `#[operation]`: how an operation is read from a request, written into one, and described.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parse;
use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, FieldsNamed, Ident, LitInt, LitStr, Token, parse_quote};

use crate::field::{Member, Place};

const BEARER: &str = "x-amz-chime-bearer";
/// What an operation is about, where its path does not say so.
const NAMING: [&str; 3] = ["AppInstanceArn", "ResourceARN", "AppInstanceUserArn"];
/// What may differ between requests that ask the same.
const UNCOUNTED: [&str; 3] = ["ClientRequestToken", "MaxResults", "NextToken"];

/// How members end that are ARNs, or lists of them.
const ARNS: [&str; 4] = ["Arn", "ARN", "Arns", "ARNs"];
/// The ids of what is acted on.
const IDS: [&str; 6] =
    ["MessageId", "CallbackId", "EndpointId", "SubChannelId", "ChannelId", "AppInstanceUserId"];
/// Structures that name something which is acted on; the audit log looks into them for ARNs and ids alone. A test of
/// the service finds those that are missing here.
const NAMING_STRUCTURES: [&str; 5] =
    ["Target", "Processors", "StreamingConfigurations", "ChannelMessage", "Configuration"];

/// `POST "/channels" => 201, Created`
pub(crate) struct Declaration {
    method: Ident,
    uri: LitStr,
    status: LitInt,
    response: Ident,
}

impl Parse for Declaration {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let (method, uri) = (input.parse()?, input.parse()?);
        input.parse::<Token![=>]>()?;
        let status = input.parse()?;
        input.parse::<Token![,]>()?;
        Ok(Self { method, uri, status, response: input.parse()? })
    }
}

pub(crate) fn expand(declaration: &Declaration, mut item: syn::ItemStruct) -> syn::Result<TokenStream> {
    let paged = take(&mut item, "paged").is_some();
    if paged {
        add_fields(&mut item, &paging())?;
    }
    if take(&mut item, "bearer").is_some() {
        add_fields(&mut item, &bearing())?;
    }
    let members = item.fields.iter_mut().map(Member::read).collect::<syn::Result<Vec<_>>>()?;
    let errors = take_errors(&mut item)?;
    let (name, text) = (&item.ident, item.ident.to_string());
    let Declaration { method, uri, status, response } = declaration;
    let described = members.iter().map(Member::described);
    let (decode, encode) = (decode(&members), encode(&members));
    let (canonical, labels, bearer) = (canonical(&members), labels(&members), bearer(&members));
    let (named, sub_channel) = (named(&members), sub_channel(&members));
    let paged = paged.then(|| {
        quote! {
            impl crate::operation::Paged for #name {
                fn page(
                    &self,
                ) -> (
                    Option<::carillon_model::text::MaxResults>,
                    Option<&::carillon_model::text::NextToken>,
                ) {
                    (self.max_results, self.next_token.as_ref())
                }

                fn begin_at(&mut self, token: Option<::carillon_model::text::NextToken>) {
                    self.next_token = token;
                }
            }
        }
    });
    let each_resource = each_resource(&members);
    Ok(quote! {
        #[derive(Debug, Clone)]
        #item

        impl crate::operation::Operation for #name {
            type Response = #response;
            const NAME: &'static str = #text;
            const METHOD: ::http::Method = ::http::Method::#method;
            const URI: &'static str = #uri;
            const STATUS: u16 = #status;
            const ERRORS: &'static [crate::error::ErrorCode] = &[#(crate::error::ErrorCode::#errors),*];

            fn members() -> Vec<::carillon_model::shape::Member> {
                vec![#(#described),*]
            }
            #decode
            #encode
            #canonical
            #labels
            #named
            #sub_channel
            #each_resource
            #bearer
        }

        #paged
    })
}

/// Takes one of our attributes off a structure.
fn take(item: &mut syn::ItemStruct, name: &str) -> Option<Attribute> {
    let at = item.attrs.iter().position(|attribute| attribute.path().is_ident(name))?;
    Some(item.attrs.remove(at))
}

fn add_fields(item: &mut syn::ItemStruct, fields: &FieldsNamed) -> syn::Result<()> {
    let Fields::Named(own) = &mut item.fields else {
        return Err(syn::Error::new_spanned(&*item, "an operation has named members"));
    };
    own.named.extend(fields.named.iter().cloned());
    Ok(())
}

/// The members of every operation that lists.
fn paging() -> FieldsNamed {
    parse_quote!({
        /// The length of a page.
        #[query("max-results")]
        pub max_results: Option<::carillon_model::text::MaxResults>,
        /// Where the page begins.
        #[query("next-token")]
        pub next_token: Option<::carillon_model::text::NextToken>,
    })
}

/// The member of every operation that somebody of the chat must do.
fn bearing() -> FieldsNamed {
    parse_quote!({
        /// Who acts.
        #[header("x-amz-chime-bearer")]
        pub chime_bearer: ::carillon_model::IdentityArn,
    })
}

fn take_errors(item: &mut syn::ItemStruct) -> syn::Result<Vec<Ident>> {
    let Some(attribute) = take(item, "errors") else { return Ok(Vec::new()) };
    let names = attribute.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated)?;
    Ok(names.into_iter().collect())
}

fn decode(members: &[Member]) -> TokenStream {
    let in_body: Vec<&Member> = members.iter().filter(|member| matches!(member.place, Place::Body)).collect();
    let body = (!in_body.is_empty()).then(|| {
        let fields = in_body.iter().map(|member| {
            let (ident, kind, serde) = (&member.ident, &member.kind, member.serde());
            quote!(#serde #ident: #kind)
        });
        let checks = in_body.iter().filter_map(|member| {
            let (least, most) = member.length?;
            let (ident, wire) = (&member.ident, &member.wire);
            let length = if member.optional.is_some() {
                quote!(body.#ident.as_ref().map(Vec::len))
            } else {
                quote!(Some(body.#ident.len()))
            };
            Some(quote!(crate::operation::check_length(#wire, #length, #least, #most)?;))
        });
        quote! {
            #[derive(::serde::Deserialize)]
            struct Body { #(#fields),* }
            let body: Body = incoming.body()?;
            #(#checks)*
        }
    });
    let lets = members.iter().map(|member| {
        let (ident, wire) = (&member.ident, &member.wire);
        let optional = member.optional.is_some();
        let value = match &member.place {
            Place::Body => quote!(body.#ident),
            Place::Label(name) => quote!(incoming.label(#name, #wire)?),
            Place::Query(name) if optional => quote!(incoming.optional_query(#name, #wire)?),
            Place::Query(name) => quote!(incoming.query(#name, #wire)?),
            Place::Header(_) if optional => quote!(incoming.optional_bearer()?),
            Place::Header(_) => quote!(incoming.bearer()?),
        };
        (matches!(member.place, Place::Body), quote!(let #ident = #value;))
    });
    // Head before body: it is cheap to read, and a request without a bearer is told so first.
    let (from_body, from_head): (Vec<_>, Vec<_>) = lets.partition(|(is_body, _)| *is_body);
    let (from_body, from_head) = (from_body.iter().map(|(_, l)| l), from_head.iter().map(|(_, l)| l));
    let idents = members.iter().map(|member| &member.ident);
    quote! {
        fn decode(incoming: &crate::operation::Incoming) -> crate::error::Result<Self> {
            #(#from_head)*
            #body
            #(#from_body)*
            Ok(Self { #(#idents),* })
        }
    }
}

fn encode(members: &[Member]) -> TokenStream {
    let steps = members.iter().map(|member| {
        let (ident, wire) = (&member.ident, &member.wire);
        let value = if member.optional.is_some() { quote!(&self.#ident) } else { quote!(Some(&self.#ident)) };
        match &member.place {
            Place::Body => quote!(outgoing.member(#wire, #value);),
            Place::Label(name) => quote!(outgoing.label(#name, #value);),
            Place::Query(name) => quote!(outgoing.query(#name, #value);),
            Place::Header(name) => quote!(outgoing.header(#name, #value);),
        }
    });
    quote! {
        fn encode(&self) -> crate::operation::Outgoing {
            #[allow(unused_mut)]
            let mut outgoing = crate::operation::Outgoing::new::<Self>();
            #(#steps)*
            outgoing
        }
    }
}

fn canonical(members: &[Member]) -> TokenStream {
    let counted = members.iter().filter(|member| {
        let bearer = matches!(&member.place, Place::Header(name) if name == BEARER);
        !bearer && !UNCOUNTED.contains(&member.wire.as_str())
    });
    let (fields, values): (Vec<_>, Vec<_>) = counted
        .map(|member| {
            let (ident, kind) = (&member.ident, &member.kind);
            (quote!(#ident: &'a #kind), quote!(#ident: &self.#ident))
        })
        .unzip();
    let lifetime = (!fields.is_empty()).then(|| quote!(<'a>));
    quote! {
        fn canonical(&self) -> Vec<u8> {
            #[derive(::serde::Serialize)]
            struct Canonical #lifetime { #(#fields),* }
            let json = ::carillon_model::json::to_vec(&Canonical { #(#values),* });
            json.expect("texts, numbers and lists always serialize")
        }
    }
}

fn labels(members: &[Member]) -> TokenStream {
    let labels = members.iter().filter(|member| matches!(member.place, Place::Label(_))).map(|member| {
        let ident = &member.ident;
        quote!(self.#ident.as_str())
    });
    quote! {
        fn labels(&self) -> Vec<&str> {
            vec![#(#labels),*]
        }
    }
}

fn named(members: &[Member]) -> TokenStream {
    let in_path = members.iter().find(|member| matches!(member.place, Place::Label(_)));
    let elsewhere = || NAMING.iter().find_map(|wire| members.iter().find(|member| member.wire == *wire));
    let value = text_of(in_path.or_else(elsewhere));
    quote! {
        fn named(&self) -> Option<&str> {
            #value
        }
    }
}

fn sub_channel(members: &[Member]) -> TokenStream {
    let value = text_of(members.iter().find(|member| member.wire == "SubChannelId"));
    quote! {
        fn sub_channel(&self) -> Option<&str> {
            #value
        }
    }
}

fn each_resource(members: &[Member]) -> TokenStream {
    let names_resource = |wire: &str| {
        ARNS.iter().any(|end| wire.ends_with(end)) || IDS.contains(&wire) || NAMING_STRUCTURES.contains(&wire)
    };
    let in_header = |member: &Member| matches!(member.place, Place::Header(_));
    let named = members.iter().filter(|member| !in_header(member) && names_resource(&member.wire));
    let steps = named.map(|member| {
        let (ident, wire) = (&member.ident, &member.wire);
        let is_there = member.optional.is_some().then(|| quote!(if self.#ident.is_some()));
        quote! {
            #is_there {
                let value = ::serde_json::to_value(&self.#ident);
                note(#wire, value.expect("texts, numbers and lists always serialize"));
            }
        }
    });
    quote! {
        #[allow(unused_variables)]
        fn each_resource(&self, note: &mut dyn FnMut(&'static str, ::serde_json::Value)) {
            #(#steps)*
        }
    }
}

fn text_of(member: Option<&Member>) -> TokenStream {
    match member {
        None => quote!(None),
        Some(Member { ident, optional: Some(_), .. }) => {
            quote!(self.#ident.as_ref().map(|value| value.as_str()))
        }
        Some(Member { ident, .. }) => quote!(Some(self.#ident.as_str())),
    }
}

fn bearer(members: &[Member]) -> TokenStream {
    let bearer = members.iter().find(|member| matches!(&member.place, Place::Header(name) if name == BEARER));
    let value = match bearer {
        None => quote!(None),
        Some(Member { ident, optional: Some(_), .. }) => quote!(self.#ident.as_ref()),
        Some(Member { ident, .. }) => quote!(Some(&self.#ident)),
    };
    quote! {
        fn bearer(&self) -> Option<&::carillon_model::IdentityArn> {
            #value
        }
    }
}
