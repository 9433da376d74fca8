//! Functions that a component imports, as a test answers them.
//!
//! In a component the function calls the host. In a native program, where there is no host, it calls the answer that the test has given
//! to the function of the same name in the module `stub`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    FnArg, Ident, Item, ItemFn, ItemMod, Pat, PatType, ReturnType, Signature, Type, Visibility,
    parse_quote,
};

/// Adds stubs to the imported interface `module`.
pub(crate) fn add(module: &mut ItemMod) {
    let name = module.ident.clone();
    let Some((_, items)) = &mut module.content else {
        return;
    };

    let mut stubs = Vec::new();
    let mut native = Vec::new();
    for item in items.iter_mut() {
        if let Item::Fn(function) = item
            && matches!(function.vis, Visibility::Public(_))
        {
            stubs.push(stub(&name, &function.sig));
            native.push(Item::Fn(native_function(function)));
            function
                .attrs
                .push(parse_quote!(#[cfg(target_family = "wasm")]));
        }
    }

    items.extend(native);
    if !stubs.is_empty() {
        items.push(Item::Verbatim(quote! {
            /// Answers to calls in tests: each function takes the answer for the imported function of its name, in this thread.
            #[cfg(not(target_family = "wasm"))]
            pub mod stub {
                use super::*;
                #(#stubs)*
            }
        }));
    }
}

/// The function in a native program.
fn native_function(function: &ItemFn) -> ItemFn {
    let call = call_name(&function.sig.ident);
    let names = parameters(&function.sig).map(|parameter| &parameter.pat);
    let mut native = function.clone();
    native.block = parse_quote!({ stub::#call(#(#names),*) });
    native
        .attrs
        .push(parse_quote!(#[cfg(not(target_family = "wasm"))]));
    native
}

/// The place of the answer, the function that takes it, and the one that gives it.
fn stub(interface: &Ident, signature: &Signature) -> TokenStream {
    let name = &signature.ident;
    let call = call_name(name);
    let slot = format_ident!("{}_ANSWER", name.to_string().to_uppercase());
    let inputs = &signature.inputs;
    let names = parameters(signature).map(|parameter| &parameter.pat);
    let types: Vec<_> = parameters(signature)
        .map(|parameter| &parameter.ty)
        .collect();
    let result = result(signature);
    let without_answer = match &result {
        Some(_) => {
            let text =
                format!("no answer to {interface}::{name}; give one to {interface}::stub::{name}");
            quote!(panic!(#text))
        }
        None => quote!(()),
    };

    let result = result.map_or_else(|| quote!(()), |ty| quote!(#ty));
    let documentation = format!("Answers calls of `{name}`.");

    quote! {
        ::std::thread_local! {
            static #slot: ::core::cell::RefCell<Option<::std::rc::Rc<dyn Fn(#(#types),*) -> #result>>> =
                const { ::core::cell::RefCell::new(None) };
        }

        #[doc = #documentation]
        pub fn #name(answer: impl Fn(#(#types),*) -> #result + 'static) {
            #slot.set(Some(::std::rc::Rc::new(answer)));
        }

        pub(super) fn #call(#inputs) -> #result {
            match #slot.with_borrow(Clone::clone) {
                Some(answer) => answer(#(#names),*),
                None => #without_answer,
            }
        }
    }
}

/// The type of the result; `None` for nothing, however it is written.
fn result(signature: &Signature) -> Option<&Type> {
    match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => match &**ty {
            Type::Tuple(tuple) if tuple.elems.is_empty() => None,
            ty => Some(ty),
        },
    }
}

/// The name of the function that gives the answer.
fn call_name(name: &Ident) -> Ident {
    format_ident!("call_{}", name)
}

fn parameters(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) if matches!(*typed.pat, Pat::Ident(_)) => Some(typed),
        _ => None,
    })
}
