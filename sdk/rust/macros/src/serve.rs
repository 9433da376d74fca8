//! The attribute `#[serve]`: an interface whose functions are methods of the service.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Pat, Path, Result, parse_quote};

/// Expands `#[serve]`.
pub(crate) fn expand(block: &ItemImpl) -> Result<TokenStream> {
    let Some((_, interface, _)) = &block.trait_ else {
        return Err(Error::new_spanned(
            &block.self_ty,
            "#[serve] stands on the implementation of an interface, such as impl hello::Guest for Hello",
        ));
    };

    let service = &block.self_ty;
    let mut methods = Vec::new();
    let mut functions = Vec::new();
    for item in &block.items {
        let ImplItem::Fn(method) = item else {
            return Err(Error::new_spanned(item, "expected a method"));
        };
        functions.push(function(method)?);
        // tests of the crate call it
        let mut method = method.clone();
        method.vis = parse_quote!(pub(crate));
        methods.push(method);
    }

    let module = module_of(interface)?;

    Ok(quote! {
        impl #service {
            #(#methods)*
        }

        #[automatically_derived]
        impl #interface for #service {
            #(#functions)*
        }

        #[cfg(target_family = "wasm")]
        #module::export_interface!(#service with_types_in #module);
    })
}

/// The function of the interface: it calls the method.
fn function(method: &ImplItemFn) -> Result<TokenStream> {
    let signature = &method.sig;
    let name = &signature.ident;
    if signature.receiver().is_none() {
        return Err(Error::new_spanned(
            signature,
            format!("`{name}`: takes `&mut self` first"),
        ));
    }

    let mut names = Vec::new();
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        let FnArg::Typed(parameter) = input else {
            continue;
        };
        let Pat::Ident(pattern) = &*parameter.pat else {
            return Err(Error::new_spanned(&parameter.pat, "expected a name"));
        };
        let (parameter_name, ty) = (&pattern.ident, &parameter.ty);
        names.push(parameter_name);
        parameters.push(quote!(#parameter_name: #ty));
    }

    let output = &signature.output;

    Ok(quote! {
        fn #name(#(#parameters),*) #output {
            ::miqro_sdk::component::serve_call(|service: &mut Self| service.#name(#(#names),*))
        }
    })
}

/// The module of the interface: the path without its last word.
fn module_of(interface: &Path) -> Result<Path> {
    let mut module = interface.clone();
    module.segments.pop();
    match module.segments.pop() {
        Some(last) => {
            module.segments.push(last.into_value());
            Ok(module)
        }
        None => Err(Error::new_spanned(
            interface,
            "expected the interface with its module, such as hello::Guest",
        )),
    }
}
