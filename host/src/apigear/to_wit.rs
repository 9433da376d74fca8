//! Writes a module as a WIT package.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::module::{BaseType, Enum, Field, Interface, Module, Operation, Struct, Type};
use super::names::{self, CLIENT, GET, SERVICE, SET, SIGNALS, Spelling, TYPES, escape, kebab};

impl Module {
    /// The WIT package: the types, two interfaces and two worlds for each ApiGear interface.
    pub fn to_wit(&self) -> String {
        let mut wit = Text::default();
        wit.docs(self.description.as_deref(), names::module_note(&self.name));
        wit.line(&format!(
            "package {}@{};",
            names::package_text(&self.name),
            self.version
        ));
        wit.blank();

        if !(self.enums.is_empty() && self.structs.is_empty()) {
            wit.begin("interface", TYPES);
            for item in &self.enums {
                write_enum(&mut wit, item);
            }
            for item in &self.structs {
                write_struct(&mut wit, item);
            }
            wit.end();
        }

        for interface in &self.interfaces {
            write_interface(&mut wit, interface);
            write_signals(&mut wit, interface);
            write_worlds(&mut wit, interface);
        }
        wit.into_text()
    }
}

/// The name of an operation in WIT. One that is also the name of a function of a property gets another beginning.
pub(super) fn operation_name(interface: &Interface, operation: &Operation) -> String {
    let name = kebab(&operation.name);
    let is_of_property = interface.properties.iter().any(|property| {
        let property = kebab(&property.field.name);
        [GET, SET]
            .iter()
            .any(|begin| name == format!("{begin}{property}"))
    });

    if is_of_property {
        format!("do-{name}")
    } else {
        name
    }
}

fn write_enum(wit: &mut Text, item: &Enum) {
    let name = kebab(&item.name);
    wit.docs(
        item.description.as_deref(),
        Spelling::Pascal.note(&item.name, &name),
    );
    wit.begin("enum", &name);
    for (position, member) in item.members.iter().enumerate() {
        let case = kebab(&member.name);
        wit.docs(
            member.description.as_deref(),
            names::member_note(member, position),
        );
        wit.line(&format!("{},", escape(&case)));
    }

    wit.end();
}

fn write_struct(wit: &mut Text, item: &Struct) {
    let name = kebab(&item.name);
    wit.docs(
        item.description.as_deref(),
        Spelling::Pascal.note(&item.name, &name),
    );
    wit.begin("record", &name);
    for field in &item.fields {
        let name = kebab(&field.name);
        wit.docs(
            field.description.as_deref(),
            Spelling::Camel.note(&field.name, &name),
        );
        wit.line(&format!(
            "{}: {},",
            escape(&name),
            type_name(&field.ty, &[])
        ));
    }

    wit.end();
}

fn write_interface(wit: &mut Text, interface: &Interface) {
    let name = kebab(&interface.name);
    let properties = interface.properties.iter();
    let mut functions: Vec<String> = properties
        .flat_map(|property| {
            [GET, SET].map(|begin| begin.to_owned() + &kebab(&property.field.name))
        })
        .collect();
    let operations = interface.operations.iter();
    functions.extend(operations.map(|operation| operation_name(interface, operation)));

    let fields = interface
        .properties
        .iter()
        .map(|property| &property.field.ty);
    let types = fields.chain(interface.operations.iter().flat_map(operation_types));

    wit.docs(
        interface.description.as_deref(),
        Spelling::Pascal.note(&interface.name, &name),
    );
    wit.begin("interface", &name);
    let aliases = write_use(wit, types, &functions);
    for property in &interface.properties {
        write_property(wit, &property.field, property.readonly, &aliases);
    }
    for operation in &interface.operations {
        let name = operation_name(interface, operation);
        let note = names::operation_note(operation, &name);
        write_function(wit, operation, (&name, note), &aliases);
    }
    wit.end();
}

fn write_signals(wit: &mut Text, interface: &Interface) {
    if interface.signals.is_empty() {
        return;
    }

    let names: Vec<String> = interface
        .signals
        .iter()
        .map(|signal| kebab(&signal.name))
        .collect();
    wit.docs(Some(&format!("Signals of {}.", interface.name)), None);
    wit.begin("interface", &(kebab(&interface.name) + SIGNALS));
    let types = interface.signals.iter().flat_map(operation_types);
    let aliases = write_use(wit, types, &names);
    for (signal, name) in interface.signals.iter().zip(&names) {
        let note = Spelling::Camel.note(&signal.name, name);
        write_function(wit, signal, (name, note), &aliases);
    }
    wit.end();
}

fn write_worlds(wit: &mut Text, interface: &Interface) {
    let name = kebab(&interface.name);
    let signals = !interface.signals.is_empty();
    for (suffix, own, other) in [(SERVICE, "export", "import"), (CLIENT, "import", "export")] {
        wit.begin("world", &format!("{name}{suffix}"));
        wit.line(&format!("{own} {};", escape(&name)));
        if signals {
            wit.line(&format!("{other} {name}{SIGNALS};"));
        }
        wit.end();
    }
}

/// Writes the functions of a property.
fn write_property(wit: &mut Text, field: &Field, readonly: bool, aliases: &[String]) {
    let name = kebab(&field.name);
    let ty = type_name(&field.ty, aliases);
    let note = Spelling::Camel.note(&field.name, &name);

    wit.docs(field.description.as_deref(), note);
    wit.line(&format!("{GET}{name}: func() -> {ty};"));
    if !readonly {
        wit.line(&format!("{SET}{name}: func({}: {ty});", escape(&name)));
    }
    wit.blank();
}

/// Writes a function with its name in WIT and the line that keeps its name in ApiGear.
fn write_function(
    wit: &mut Text,
    operation: &Operation,
    (name, note): (&str, Option<String>),
    aliases: &[String],
) {
    let params = operation.params.iter();
    let params: Vec<String> = params
        .map(|param| {
            format!(
                "{}: {}",
                escape(&kebab(&param.name)),
                type_name(&param.ty, aliases)
            )
        })
        .collect();

    let result = operation.result.as_ref();
    let result = result.map_or_else(String::new, |ty| format!(" -> {}", type_name(ty, aliases)));

    wit.docs(operation.description.as_deref(), note);
    for param in &operation.params {
        let name = kebab(&param.name);
        if let Some(text) = &param.description {
            wit.docs(Some(&format!("{name}: {text}")), None);
        }
        wit.docs(None, names::parameter_note(&param.name, &name));
    }

    let params = params.join(", ");
    wit.line(&format!("{}: func({params}){result};", escape(name)));
    wit.blank();
}

/// Writes the import of the named types. Returns the types that have another name here, because a function has theirs.
fn write_use<'a>(
    wit: &mut Text,
    types: impl Iterator<Item = &'a Type>,
    functions: &[String],
) -> Vec<String> {
    let used: BTreeSet<String> = types
        .filter_map(|ty| match &ty.base {
            BaseType::Named(name) => Some(kebab(name)),
            BaseType::Primitive(_) => None,
        })
        .collect();

    if used.is_empty() {
        return Vec::new();
    }

    let (aliases, others): (Vec<String>, Vec<String>) =
        used.into_iter().partition(|name| functions.contains(name));
    let others = others.iter().map(|name| escape(name));
    let renamed = aliases
        .iter()
        .map(|name| format!("{} as {name}-type", escape(name)));
    let list: Vec<String> = others.chain(renamed).collect();
    wit.line(&format!("use {TYPES}.{{{}}};", list.join(", ")));
    wit.blank();

    aliases
}

fn operation_types(operation: &Operation) -> impl Iterator<Item = &Type> {
    let params = operation.params.iter().map(|param| &param.ty);
    params.chain(operation.result.as_ref())
}

/// The type in WIT. `aliases` are types that have another name here.
fn type_name(ty: &Type, aliases: &[String]) -> String {
    let base = match &ty.base {
        BaseType::Primitive(primitive) => primitive.wit().to_owned(),
        BaseType::Named(name) => {
            let name = kebab(name);
            if aliases.contains(&name) {
                format!("{name}-type")
            } else {
                escape(&name)
            }
        }
    };

    if ty.array {
        format!("list<{base}>")
    } else {
        base
    }
}

/// The text of a package.
#[derive(Default)]
struct Text {
    text: String,
    /// The number of open braces.
    depth: usize,
}

impl Text {
    /// Writes a documentation and the line that keeps a name.
    fn docs(&mut self, description: Option<&str>, note: Option<String>) {
        let lines = description.unwrap_or_default().lines().map(str::to_owned);
        for line in lines.chain(note) {
            let line = format!("/// {line}");
            self.line(line.trim_end());
        }
    }

    fn begin(&mut self, kind: &str, name: &str) {
        self.line(&format!("{kind} {} {{", escape(name)));
        self.depth += 1;
    }

    fn end(&mut self) {
        // no blank line before the brace
        if self.text.ends_with("\n\n") {
            self.text.pop();
        }
        self.depth -= 1;
        self.line("}");
        self.blank();
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn line(&mut self, line: &str) {
        // writing to a text cannot fail
        let _ = writeln!(self.text, "{:1$}{line}", "", 2 * self.depth);
    }

    /// The text with one line end at its end.
    fn into_text(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text + "\n"
    }
}
