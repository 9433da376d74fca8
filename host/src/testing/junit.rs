//! Outcomes as an XML file in JUnit's format, which CI systems read.

use std::fmt::Write as _;

use super::case::{Case, Suite};

/// Renders the suites.
pub fn junit(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for suite in suites {
        let failures = suite.cases.iter().filter(|case| !case.passed()).count();
        let time: f64 = suite.cases.iter().map(|case| case.time.as_secs_f64()).sum();
        // writing into a String cannot fail
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{time:.3}\">",
            escape(&suite.name),
            suite.cases.len()
        );

        for case in &suite.cases {
            xml.push_str(&render(suite, case));
        }
        xml.push_str("  </testsuite>\n");
    }

    xml.push_str("</testsuites>\n");
    xml
}

fn render(suite: &Suite, case: &Case) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escape(&suite.name),
        escape(&case.name),
        case.time.as_secs_f64()
    );

    let failure = case.failure.iter().map(|text| {
        let summary = text.lines().next().unwrap_or_default();
        format!(
            "      <failure message=\"{}\">{}</failure>\n",
            escape(summary),
            escape(text)
        )
    });

    let notes = (!case.notes.is_empty()).then(|| {
        let notes = escape(&case.notes.join("\n"));
        format!("      <system-out>{notes}</system-out>\n")
    });

    let content: String = failure.chain(notes).collect();
    if content.is_empty() {
        format!("{head}/>\n")
    } else {
        format!("{head}>\n{content}    </testcase>\n")
    }
}

/// Text for XML 1.0, which has no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }

    escaped
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn failures_are_text_in_xml() {
        let mut suite = Suite::new("a&b.wasm");
        suite.add("loads", Instant::now(), Ok(()));
        suite.add(
            "starts",
            Instant::now(),
            Err("- <1>\n+ \"\u{1}\"".to_owned()),
        );
        suite.cases[0].notes = vec!["a".to_owned(), "<b>".to_owned()];
        for case in &mut suite.cases {
            case.time = Duration::from_millis(1500);
        }

        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="a&amp;b.wasm" tests="2" failures="1" time="3.000">
    <testcase classname="a&amp;b.wasm" name="loads" time="1.500">
      <system-out>a
&lt;b&gt;</system-out>
    </testcase>
    <testcase classname="a&amp;b.wasm" name="starts" time="1.500">
      <failure message="- &lt;1&gt;">- &lt;1&gt;
+ &quot;REPLACED&quot;</failure>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(junit(&[suite]), expected.replace("REPLACED", "\u{fffd}"));
    }
}
