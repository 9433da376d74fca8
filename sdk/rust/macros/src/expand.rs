//! Expands the `impl` block: the block without the annotations, and the implementation of `Service` with its tables.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Result, ReturnType, Type};

use crate::annotation::{self, Annotation, Every, Moment};
use crate::exports;
use crate::method::{self, Argument};

/// Tables made from the annotated methods.
#[derive(Default)]
struct Tables {
    handlers: Vec<TokenStream>,
    loops: Vec<TokenStream>,
    timers: Vec<TokenStream>,
    /// Checks that the compiler makes first.
    checks: Vec<TokenStream>,
    create: Option<TokenStream>,
    /// Calls for a moment, in order of declaration.
    moments: Vec<(Moment, TokenStream)>,
}

/// Expands `#[service]`.
pub(crate) fn service(mut block: ItemImpl) -> Result<TokenStream> {
    if block.trait_.is_some() || block.generics.params.iter().next().is_some() {
        return Err(Error::new_spanned(
            &block.self_ty,
            "#[service] stands on the `impl` block of a struct without generics",
        ));
    }

    let mut tables = Tables::default();
    let mut errors = None::<Error>;
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        if let Err(error) = take(&mut tables, method) {
            match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            }
        }
    }

    match errors {
        Some(errors) => Err(errors),
        None => Ok(implementation(&block, &tables)),
    }
}

/// Takes the annotations off `method` and into the tables.
fn take(tables: &mut Tables, method: &mut ImplItemFn) -> Result<()> {
    let mut annotations = Vec::new();
    let mut others = Vec::new();
    for attribute in std::mem::take(&mut method.attrs) {
        match annotation::read(&attribute, &method.sig.ident)? {
            Some(annotation) => annotations.push(annotation),
            None => others.push(attribute),
        }
    }

    method.attrs = others;
    annotations
        .iter()
        .try_for_each(|annotation| match annotation {
            Annotation::Handle {
                filter,
                global,
                qos,
            } => {
                tables.checks.push(filter_check(&method.sig.ident, filter));
                handler(method, filter, *global, *qos).map(|entry| tables.handlers.push(entry))
            }
            Annotation::Every(every) => {
                tables.checks.extend(span_checks(&method.sig.ident, every));
                a_loop(method, every).map(|entry| tables.loops.push(entry))
            }
            Annotation::Timer { pattern } => {
                tables.checks.push(filter_check(&method.sig.ident, pattern));
                timer(method, pattern).map(|entry| tables.timers.push(entry))
            }
            Annotation::Moment(Moment::New) => create(tables, method),
            Annotation::Moment(moment @ (Moment::Save | Moment::Load))
                if tables.moments.iter().any(|(own, _)| own == moment) =>
            {
                let name = &method.sig.ident;
                Err(Error::new(
                    name.span(),
                    format!("`{name}`: one method is #[save], and one is #[load]"),
                ))
            }
            Annotation::Moment(moment) => {
                call_at(*moment, method).map(|call| tables.moments.push((*moment, call)))
            }
        })
}

fn handler(method: &ImplItemFn, filter: &LitStr, global: bool, qos: u8) -> Result<TokenStream> {
    let name = &method.sig.ident;
    let text = filter.value();
    let arguments = method::arguments(method)?;
    let wildcards = wildcards(&text);
    let form =
        format!("nothing, the payload, or the payload and the {wildcards} that {text:?} captures");
    let count = method::values(name, &arguments, &[0, 1, 1 + wildcards], &form)?.len();
    let first = std::iter::once(quote!(message.payload()));
    let sources = first
        .chain((0..wildcards).map(|at| quote!(captures[#at].as_bytes())))
        .take(count);
    let call = call(method, &arguments, sources);
    let named = name.to_string();
    Ok(quote! {
        ::miqro_sdk::Handler {
            name: #named,
            filter: #filter,
            global: #global,
            qos: #qos,
            call: |service, topic, message| {
                let captures = ::miqro_sdk::topic::captures::<#wildcards>(#filter, topic)?;
                let _ = (&captures, message);
                Some((|| ::miqro_sdk::IntoOutcome::into_outcome(#call))())
            },
        }
    })
}

fn a_loop(method: &ImplItemFn, every: &Every) -> Result<TokenStream> {
    let arguments = method::arguments(method)?;
    only_values(method, &arguments, &[0], "nothing, for a loop")?;
    let period = span(&every.period);
    let delay = match (&every.delay, every.delayed) {
        (Some(delay), _) => span(delay),
        (None, true) => period.clone(),
        (None, false) => quote!(0),
    };
    let jitter = every.jitter.as_ref().map_or_else(|| quote!(0), span);
    let text = &every.name;
    let starts = !every.stopped;
    let call = call(method, &arguments, std::iter::empty());
    Ok(quote! {
        ::miqro_sdk::LoopSpec {
            name: #text,
            timing: ::miqro_sdk::Timing { period: #period, delay: #delay, jitter: #jitter },
            starts: #starts,
            call: |service| ::miqro_sdk::IntoFlow::into_flow(#call),
        }
    })
}

fn timer(method: &ImplItemFn, pattern: &LitStr) -> Result<TokenStream> {
    let name = &method.sig.ident;
    let text = pattern.value();
    let arguments = method::arguments(method)?;
    let wildcards = wildcards(&text);
    let form = format!("nothing, or the {wildcards} that {text:?} captures");
    let count = only_values(method, &arguments, &[0, wildcards], &form)?;
    let sources = (0..wildcards)
        .map(|at| quote!(captures[#at].as_bytes()))
        .take(count);
    let call = call(method, &arguments, sources);
    let named = name.to_string();
    Ok(quote! {
        ::miqro_sdk::TimerSpec {
            name: #named,
            pattern: #pattern,
            call: |service, timer| {
                let captures = ::miqro_sdk::topic::captures::<#wildcards>(#pattern, timer)?;
                let _ = &captures;
                Some((|| ::miqro_sdk::IntoOutcome::into_outcome(#call))())
            },
        }
    })
}

fn create(tables: &mut Tables, method: &ImplItemFn) -> Result<()> {
    let name = &method.sig.ident;
    method::check(&method.sig)?;
    if !method.sig.inputs.is_empty() || tables.create.is_some() {
        return Err(Error::new_spanned(
            &method.sig,
            format!("`{name}`: one method is #[new], and it takes no arguments"),
        ));
    }

    let returns_self = matches!(&method.sig.output, ReturnType::Type(_, of) if !is_result(of));
    let call = quote_spanned!(method.sig.output.span()=> Self::#name());
    tables.create = Some(if returns_self {
        quote!(Ok(#call))
    } else {
        quote!(#call.map_err(Into::into))
    });
    Ok(())
}

fn is_result(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == "Result"))
}

/// The call of a method at a moment; the names are those of the arguments of the methods of `Service`.
fn call_at(moment: Moment, method: &ImplItemFn) -> Result<TokenStream> {
    let arguments = method::arguments(method)?;
    let (counts, form, sources): (&[usize], _, _) = match moment {
        Moment::Connected => (
            &[0, 1],
            "nothing, or `session_present: bool`",
            vec![quote!(session_present)],
        ),
        Moment::Delivered => (
            &[2],
            "a `Token` and a `DeliveryOutcome`",
            vec![quote!(token), quote!(outcome.clone())],
        ),
        Moment::Fallback => (
            &[0, 1],
            "nothing, or the payload",
            vec![quote!(message.payload())],
        ),
        Moment::Load => (&[1], "the saved value", vec![quote!(state)]),
        _ => (&[0], "nothing", Vec::new()),
    };

    let name = &method.sig.ident;
    if moment == Moment::Save {
        only_values(method, &arguments, counts, form)?;
        return Ok(
            quote_spanned!(method.sig.output.span()=> ::miqro_sdk::IntoSaved::into_saved(Self::#name(service))),
        );
    }

    if matches!(moment, Moment::Fallback | Moment::Load) {
        if moment == Moment::Load {
            only_values(method, &arguments, counts, form)?;
        }
        let count = method::values(name, &arguments, counts, form)?.len();
        let call = call(method, &arguments, sources.into_iter().take(count));
        return Ok(quote!(::miqro_sdk::IntoOutcome::into_outcome(#call)));
    }

    let count = only_values(method, &arguments, counts, form)?;
    let sources = sources.into_iter().take(count);
    Ok(
        quote_spanned!(method.sig.output.span()=> ::miqro_sdk::IntoOutcome::into_outcome(Self::#name(service, #(#sources),*))),
    )
}

/// As `method::values`, for methods that have no message.
fn only_values(
    method: &ImplItemFn,
    arguments: &[Argument],
    wanted: &[usize],
    form: &str,
) -> Result<usize> {
    let name = &method.sig.ident;
    if arguments
        .iter()
        .any(|argument| matches!(argument, Argument::Message))
    {
        return Err(Error::new(
            name.span(),
            format!("`{name}`: there is no message here; expected {form}"),
        ));
    }

    method::values(name, arguments, wanted, form).map(|types| types.len())
}

/// The call of `method`, each value decoded from the next of `sources`.
fn call(
    method: &ImplItemFn,
    arguments: &[Argument],
    mut sources: impl Iterator<Item = TokenStream>,
) -> TokenStream {
    let name = &method.sig.ident;
    let values = arguments.iter().map(|argument| match argument {
        Argument::Message => quote!(message),
        Argument::Value(of) => {
            let source = sources.next();
            quote_spanned!(of.span()=> <#of as ::miqro_sdk::Decode<'_>>::decode(#source)?)
        }
    });

    // by its path: a method with `&self` that is named as one of the trait would be found after that one
    quote_spanned!(method.sig.output.span()=> Self::#name(service, #(#values),*))
}

/// An associated constant is not evaluated before it is used; an unnamed one is, so the error is there in any case.
fn filter_check(name: &Ident, filter: &LitStr) -> TokenStream {
    let wrong = format!("`{name}`: {:?} is not a topic filter", filter.value());
    quote_spanned!(filter.span()=> const _: () = assert!(::miqro_sdk::topic::is_filter(#filter), #wrong);)
}

/// As [`filter_check`], for spans of time; a period of zero is an error.
fn span_checks(name: &Ident, every: &Every) -> impl Iterator<Item = TokenStream> {
    let spans = [
        Some(&every.period),
        every.delay.as_ref(),
        every.jitter.as_ref(),
    ]
    .into_iter()
    .flatten();
    spans.enumerate().map(move |(at, text)| {
        let wrong = format!("`{name}`: expected a span of time such as 500ms, 10s or 1h30m, found {:?}", text.value());
        let least = u64::from(at == 0);
        quote_spanned! {text.span()=>
            const _: () = assert!(matches!(::miqro_sdk::span::parse(#text), Some(span) if span >= #least), #wrong);
        }
    })
}

/// Milliseconds, as a constant expression; invalid text has been reported already.
fn span(text: &LitStr) -> TokenStream {
    quote!(match ::miqro_sdk::span::parse(#text) { Some(span) => span, None => 0 })
}

fn wildcards(filter: &str) -> usize {
    filter
        .split('/')
        .filter(|level| matches!(*level, "+" | "#"))
        .count()
}

#[expect(
    clippy::too_many_lines,
    reason = "one implementation, in the form in which it is generated"
)]
fn implementation(block: &ItemImpl, tables: &Tables) -> TokenStream {
    let Tables {
        handlers,
        loops,
        timers,
        checks,
        create,
        moments,
    } = tables;

    let name = &block.self_ty;
    let create = create.clone().unwrap_or_else(
        || quote_spanned!(name.span()=> Ok(<Self as ::core::default::Default>::default())),
    );
    let at = |moment| {
        moments
            .iter()
            .filter(move |(own, _)| *own == moment)
            .map(|(_, call)| call)
            .collect::<Vec<_>>()
    };

    let [start, stop, connected] = [at(Moment::Start), at(Moment::Stop), at(Moment::Connected)];
    let [disconnected, delivered] = [at(Moment::Disconnected), at(Moment::Delivered)];
    let [config_changed, fallback] = [at(Moment::ConfigChanged), at(Moment::Fallback)];
    let [save, load] = [at(Moment::Save), at(Moment::Load)];
    let save = save
        .first()
        .map_or_else(|| quote!(Ok(::std::vec::Vec::new())), |save| quote!(#save));
    let has_fallback = !fallback.is_empty();
    let used: Vec<Moment> = moments.iter().map(|(moment, _)| *moment).collect();
    let exports = exports::of(name, &used);
    quote! {
        #block

        #(#checks)*

        #[automatically_derived]
        #[allow(clippy::redundant_closure_call)]
        impl ::miqro_sdk::Service for #name {
            const HANDLERS: &'static [::miqro_sdk::Handler<Self>] = &[#(#handlers),*];
            const LOOPS: &'static [::miqro_sdk::LoopSpec<Self>] = &[#(#loops),*];
            const TIMERS: &'static [::miqro_sdk::TimerSpec<Self>] = &[#(#timers),*];
            const HAS_FALLBACK: bool = #has_fallback;

            fn create() -> ::miqro_sdk::Result<Self> {
                #create
            }
            fn start(&mut self) -> ::miqro_sdk::Result {
                let service = self;
                #(#start?;)*
                let _ = service;
                Ok(())
            }
            fn stop(&mut self) -> ::miqro_sdk::Result {
                let service = self;
                #(#stop?;)*
                let _ = service;
                Ok(())
            }
            fn connected(&mut self, session_present: bool) -> ::miqro_sdk::Result {
                let service = self;
                #(#connected?;)*
                let _ = (service, session_present);
                Ok(())
            }
            fn disconnected(&mut self) -> ::miqro_sdk::Result {
                let service = self;
                #(#disconnected?;)*
                let _ = service;
                Ok(())
            }
            fn delivered(&mut self, token: ::miqro_sdk::Token, outcome: ::miqro_sdk::DeliveryOutcome) -> ::miqro_sdk::Result {
                let service = self;
                #(#delivered?;)*
                let _ = (service, token, outcome);
                Ok(())
            }
            fn config_changed(&mut self) -> ::miqro_sdk::Result {
                let service = self;
                #(#config_changed?;)*
                let _ = service;
                Ok(())
            }
            fn save(&mut self) -> ::miqro_sdk::Result<::std::vec::Vec<u8>> {
                let service = self;
                let _ = &service;
                #save
            }
            fn load(&mut self, state: &[u8]) -> ::miqro_sdk::Result {
                let service = self;
                #(#load?;)*
                let _ = (service, state);
                Ok(())
            }
            fn fallback(&mut self, message: &::miqro_sdk::Message<'_>) -> ::miqro_sdk::Result {
                let service = self;
                #(#fallback?;)*
                let _ = (service, message);
                Ok(())
            }
        }

        #exports
    }
}
