//! `miqro-host import apigear` and `miqro-host export apigear`, with the module of ApiGear's own example.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::Result;
use miqro_tests::{host, place};
use tempfile::TempDir;

fn guest(path: &str) -> PathBuf {
    place::project().join("guests/hello").join(path)
}

fn run(arguments: &[&str], file: &Path) -> Result<Output> {
    Ok(host::command()?.args(arguments).arg(file).output()?)
}

/// Runs a command that succeeds and says nothing on standard error.
fn translate(verb: &str, file: &Path) -> Result<String> {
    let output = run(&[verb, "apigear"], file)?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr)?, "");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn module_of_the_example_becomes_the_package_of_the_guest_and_back() -> Result<()> {
    let wit = translate("import", &guest("hello.module.yaml"))?;
    assert_eq!(wit, std::fs::read_to_string(guest("wit/hello.wit"))?);

    let folder = TempDir::new()?;
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, translate("export", &guest("wit/hello.wit"))?)?;
    assert_eq!(translate("import", &module)?, wit);
    Ok(())
}

#[test]
fn faults_are_named_with_file_line_key_and_accepted_values() -> Result<()> {
    let folder = TempDir::new()?;
    let module = folder.path().join("module.yaml");
    let text = std::fs::read_to_string(guest("hello.module.yaml"))?;
    std::fs::write(
        &module,
        text.replace(
            "type: Message }\n    operations",
            "type: Mesage }\n    operation",
        ),
    )?;

    let output = run(&["import", "apigear"], &module)?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    let name = module.display();
    for expected in [
        format!("{name}:8: interfaces[0].properties[0].type: expected one of bool, "),
        format!("{name}:9: interfaces[0].operation: unknown key; did you mean operations?"),
    ] {
        assert!(said.contains(&expected), "{expected}\n{said}");
    }

    let wit = folder.path().join("x.wit");
    std::fs::write(&wit, "package a:b;\ninterface x {\n  f: func(a: u64);\n}\n")?;
    let output = run(&["export", "apigear"], &wit)?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("x.wit:3:"), "{said}");
    assert!(
        said.contains("u64 has no type in ApiGear; use s64"),
        "{said}"
    );
    Ok(())
}

#[test]
fn names_that_need_settings_are_shown_with_them() -> Result<()> {
    let folder = TempDir::new()?;
    let module = folder.path().join("module.yaml");
    let text = std::fs::read_to_string(guest("hello.module.yaml"))?;
    std::fs::write(&module, text.replace("name: say", "name: Say_It"))?;

    let target = folder.path().join("hello.wit");
    let mut command = host::command()?;
    command
        .args(["import", "apigear", "-o"])
        .arg(&target)
        .arg(&module);
    let output = command.output()?;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    assert!(
        said.contains("- interface: io:world/hello@1.0.0\n  names:\n    say-it: Say_It\n"),
        "{said}"
    );
    assert!(std::fs::read_to_string(target)?.contains("/// ApiGear: Say_It\n"));
    Ok(())
}
