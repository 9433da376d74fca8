//! The macro `interfaces!`: the bindings of wit-bindgen for the worlds of a WIT package, where each imported function can be answered by
//! a test.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, ImplItem, Item, ItemMod, LitStr, Result, Token, parse_quote};
use wit_bindgen_core::WorldGenerator;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_rust::Opts;

use crate::stub;

/// The crate that the generated code uses at run time.
const RUNTIME: &str = "::miqro_sdk::bindings::wit_bindgen::rt";

/// The module of the generated code for functions that all interfaces need.
const RUNTIME_MODULE: &str = "_rt";

/// The arguments: the folder of the package, and the worlds.
pub(crate) struct Interfaces {
    folder: LitStr,
    worlds: Vec<LitStr>,
}

impl Parse for Interfaces {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut texts = Punctuated::<LitStr, Token![,]>::parse_terminated(input)?.into_iter();
        let folder = texts.next();
        let worlds: Vec<LitStr> = texts.collect();
        match folder {
            Some(folder) if !worlds.is_empty() => Ok(Self { folder, worlds }),
            _ => Err(input.error("expected the folder of the WIT package and its worlds, such as \"wit\", \"io:world/hello-service@1.0.0\"")),
        }
    }
}

/// Expands `interfaces!`.
pub(crate) fn expand(arguments: &Interfaces) -> Result<TokenStream> {
    let (mut resolve, world, files) = arguments.resolve()?;
    let source = generate(&mut resolve, world).map_err(|error| arguments.error(&error))?;
    let mut source = syn::parse_file(&source)?;

    let mut found = Found::default();
    for item in &mut source.items {
        found.visit(item, &[]);
    }
    only_in_components(&mut source.items);
    let items = &source.items;
    let uses = found.uses();
    let files = files.iter().map(|file| file.display().to_string());

    Ok(quote! {
        #[doc(hidden)]
        #[allow(dead_code, missing_docs, unused, unused_qualifications, clippy::all)]
        #[cfg_attr(target_family = "wasm", allow(unsafe_code))]
        mod interfaces {
            #(#items)*
            // the bindings are made again when a file changes
            #(const _: &[u8] = include_bytes!(#files);)*
        }
        #uses
    })
}

impl Interfaces {
    /// The package, a world that includes all the worlds, and the files that were read.
    fn resolve(&self) -> Result<(Resolve, WorldId, Vec<PathBuf>)> {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
        let folder = Path::new(&root).join(self.folder.value());
        let mut resolve = Resolve::default();
        let (_, sources) = resolve
            .push_path(&folder)
            .map_err(|error| self.error(&error))?;
        let files = sources.paths().map(Path::to_owned).collect();

        let includes: String = self
            .worlds
            .iter()
            .map(|world| format!("include {};", escape(&world.value())))
            .collect();
        let text = format!("package miqro:interfaces; world guest {{ {includes} }}");
        let package = resolve
            .push_str("interfaces", &text)
            .map_err(|error| self.error(&error))?;
        let world = resolve
            .select_world(&[package], Some("guest"))
            .map_err(|error| self.error(&error))?;
        Ok((resolve, world, files))
    }

    fn error(&self, error: &impl std::fmt::Display) -> Error {
        Error::new(self.folder.span(), format!("{error:#}"))
    }
}

/// The path of a world with a percent sign before each word, because one may be a keyword of WIT: `%io:%world/%hello-service@1.0.0`.
fn escape(world: &str) -> String {
    let (path, version) = world
        .split_once('@')
        .map_or((world, String::new()), |(path, version)| {
            (path, format!("@{version}"))
        });
    let path = path.replace(':', ":%").replace('/', "/%");
    format!("%{path}{version}")
}

/// The bindings as Rust text.
fn generate(resolve: &mut Resolve, world: WorldId) -> std::result::Result<String, String> {
    let options = Opts {
        additional_derive_attributes: vec!["PartialEq".to_owned()],
        generate_all: true,
        generate_unused_types: true,
        merge_structurally_equal_types: Some(Some(true)),
        runtime_path: Some(RUNTIME.to_owned()),
        ..Opts::default()
    };

    let mut files = Default::default();
    options
        .build()
        .generate(resolve, world, &mut files)
        .map_err(|error| format!("{error:#}"))?;

    let source = files.iter().next().map(|(_, source)| source);
    String::from_utf8(source.unwrap_or_default().to_vec()).map_err(|error| error.to_string())
}

/// The interfaces in the bindings, as paths of modules.
#[derive(Default)]
struct Found {
    imports: Vec<Vec<Ident>>,
    exports: Vec<Vec<Ident>>,
}

impl Found {
    /// Finds interfaces in `item`, which lies in the module `path`, and changes them.
    fn visit(&mut self, item: &mut Item, path: &[Ident]) {
        let Item::Mod(module) = item else { return };
        let path = [path, std::slice::from_ref(&module.ident)].concat();
        let is_exported = path[0] == "exports";
        let Some((_, items)) = &mut module.content else {
            return;
        };
        if path[0] == RUNTIME_MODULE {
            return;
        }

        let holds_modules = items.iter().any(|item| matches!(item, Item::Mod(_)));
        if holds_modules {
            for item in items {
                self.visit(item, &path);
            }
        } else if is_exported {
            name_export_macro(module);
            self.exports.push(path);
        } else {
            stub::add(module);
            self.imports.push(path);
        }
    }

    /// Brings each interface into scope by its name. When a component imports and exports the same one, the name is that of the export.
    fn uses(&self) -> TokenStream {
        let is_exported = |path: &&Vec<Ident>| {
            let own = path.last();
            !self.exports.iter().any(|export| export.last() == own)
        };
        let paths = self.imports.iter().filter(is_exported).chain(&self.exports);
        let uses = paths.map(|path| {
            quote! {
                #[allow(unused_imports)]
                use interfaces::#(#path)::*;
            }
        });

        quote!(#(#uses)*)
    }
}

/// Leaves everything unsafe out of a native program, which calls none of it: a crate may forbid unsafe code.
fn only_in_components(items: &mut [Item]) {
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    only_in_components(items);
                }
            }
            Item::Fn(function) if is_unsafe(function) => function.attrs.push(component_only()),
            Item::Impl(block) => {
                for item in &mut block.items {
                    if let ImplItem::Fn(method) = item
                        && is_unsafe(method)
                    {
                        method.attrs.push(component_only());
                    }
                }
            }
            _ => {}
        }
    }
}

fn component_only() -> Attribute {
    parse_quote!(#[cfg(target_family = "wasm")])
}

/// Whether the word `unsafe` stands anywhere in a function.
fn is_unsafe(function: &impl ToTokens) -> bool {
    fn has_word(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Group(group) => has_word(group.stream()),
            _ => false,
        })
    }
    has_word(function.to_token_stream())
}

/// Gives the macro that exports the interface `module` a name that `#[serve]` knows.
fn name_export_macro(module: &mut ItemMod) {
    let Some((_, items)) = &mut module.content else {
        return;
    };
    let found = items.iter().find_map(|item| match item {
        Item::Macro(found) => found.ident.clone(),
        _ => None,
    });
    if let Some(name) = found {
        let alias = format_ident!("export_interface");
        items.push(Item::Verbatim(quote!(pub(crate) use #name as #alias;)));
    }
}
