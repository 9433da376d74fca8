//! Reads one method's signature: the kind of each argument.

use syn::{Error, FnArg, Ident, ImplItemFn, Result, Signature, Type};

/// An argument after `self`.
pub(crate) enum Argument {
    /// `&Message<'_>`
    Message,
    /// Anything else.
    Value(Box<Type>),
}

/// The arguments of `method` after `self`.
pub(crate) fn arguments(method: &ImplItemFn) -> Result<Vec<Argument>> {
    let name = &method.sig.ident;
    check(&method.sig)?;
    if method.sig.receiver().is_none() {
        return Err(Error::new_spanned(
            &method.sig,
            format!("`{name}`: takes `&mut self` first"),
        ));
    }

    Ok(method.sig.inputs.iter().filter_map(argument).collect())
}

/// The types of those arguments that are values; an error names the method when there are not as many as `wanted` says.
pub(crate) fn values<'a>(
    name: &Ident,
    arguments: &'a [Argument],
    wanted: &[usize],
    form: &str,
) -> Result<Vec<&'a Type>> {
    let types: Vec<&Type> = arguments
        .iter()
        .filter_map(|argument| match argument {
            Argument::Value(of) => Some(&**of),
            Argument::Message => None,
        })
        .collect();

    if wanted.contains(&types.len()) {
        return Ok(types);
    }
    let found = types.len();
    Err(Error::new(
        name.span(),
        format!("`{name}`: takes {found} arguments after `self`; expected {form}"),
    ))
}

/// Refuses what no annotated method can be.
pub(crate) fn check(signature: &Signature) -> Result<()> {
    let name = &signature.ident;
    let wrong = match signature {
        Signature {
            asyncness: Some(_), ..
        } => "async: a host calls it and waits; request(..) and timers are there instead",
        Signature { generics, .. } if generics.type_params().next().is_some() => "generic",
        Signature {
            unsafety: Some(_), ..
        } => "unsafe",
        _ => return Ok(()),
    };

    Err(Error::new_spanned(
        signature,
        format!("`{name}`: an annotated method cannot be {wrong}"),
    ))
}

fn argument(input: &FnArg) -> Option<Argument> {
    let FnArg::Typed(typed) = input else {
        return None;
    };
    Some(if is_message(&typed.ty) {
        Argument::Message
    } else {
        Argument::Value(typed.ty.clone())
    })
}

fn is_message(of: &Type) -> bool {
    let Type::Reference(reference) = of else {
        return false;
    };
    let Type::Path(path) = &*reference.elem else {
        return false;
    };
    path.path
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "Message")
}
