//! Templates of annotations (minijinja): what they may say, and their rendering over a row.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

/// What one rendering may do, in minijinja's steps; beyond it the rendering fails and the
/// annotation says so.
const TEMPLATE_FUEL_MAX: u64 = 50_000;
/// What a template may use beside the columns of its rule.
pub(crate) const GLOBALS: [&str; 2] = ["public_url", "runbook_url"];

/// A row as templates see it: column to value, times as RFC 3339 text.
pub(crate) type Row = BTreeMap<String, serde_json::Value>;

/// The compiled templates of all rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(TEMPLATE_FUEL_MAX));
        environment.add_filter("time", time);
        environment.add_filter("urlencode", urlencode);
        for global in GLOBALS {
            environment.add_global(global, "");
        }
        Self { environment }
    }

    /// Sets what is known only once ports are bound.
    pub(crate) fn set_urls(&mut self, public_url: &str, runbook_url: &str) {
        self.environment.add_global("public_url", public_url.to_owned());
        self.environment.add_global("runbook_url", runbook_url.to_owned());
    }

    /// Compiles a template under a name and gives the columns that it uses.
    ///
    /// A filter's name is looked up only when it runs, so the template is also rendered once
    /// over a row of samples.
    ///
    /// # Errors
    /// Why the template is none.
    pub(crate) fn add(&mut self, name: &str, source: &str) -> Result<BTreeSet<String>, String> {
        let explain = |error: &minijinja::Error| explain(error);
        self.environment
            .add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| explain(&error))?;
        let template = self.environment.get_template(name).map_err(|error| explain(&error))?;
        let known: BTreeSet<&str> =
            self.environment.globals().map(|(global, _)| global).chain(GLOBALS).collect();
        let columns: BTreeSet<String> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|variable| !known.contains(variable.as_str()))
            .collect();
        let sample: BTreeMap<&str, &str> =
            columns.iter().map(|column| (column.as_str(), "")).collect();
        match template.render(Value::from(Serde(&sample))) {
            Err(error) if is_mistake(error.kind()) => Err(explain(&error)),
            _ => Ok(columns),
        }
    }

    /// Renders a template over a row.
    ///
    /// # Errors
    /// What went wrong, for the log and for the annotation itself.
    pub(crate) fn render(&self, name: &str, row: &Row) -> Result<String, String> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(Value::from(Serde(row))))
            .map(|text| text.trim().to_owned())
            .map_err(|error| explain(&error))
    }
}

/// Mistakes that no row can mend.
fn is_mistake(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::TemplateNotFound
            | ErrorKind::BadInclude
            | ErrorKind::OutOfFuel
    )
}

fn explain(error: &minijinja::Error) -> String {
    let kind = error.kind().to_string();
    match (error.detail(), error.line()) {
        (Some(detail), Some(line)) => format!("{kind}: {detail} (line {line} of the template)"),
        (Some(detail), None) => format!("{kind}: {detail}"),
        (None, _) => kind,
    }
}

/// `{{ starts_at | time }}`: minutes and UTC, as people write it; `unknown` for no time at all.
fn time(value: &Value) -> Result<String, minijinja::Error> {
    let Some(text) = value.as_str() else { return Ok("unknown".to_owned()) };
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
        let why = format!("`time` takes a time column, not {text:?}");
        minijinja::Error::new(ErrorKind::InvalidOperation, why)
    })?;
    Ok(time.with_timezone(&Utc).format("%Y-%m-%d %H:%M UTC").to_string())
}

/// One segment of a URL's path: everything but the unreserved characters of RFC 3986 is encoded,
/// the slash too (minijinja's own filter leaves it, and an order id with one would be two
/// segments).
fn urlencode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str, row: serde_json::Value) -> Result<String, String> {
        let mut templates = Templates::new();
        templates.set_urls("http://127.0.0.1:8080", "http://127.0.0.1:9095/runbook");
        templates.add("t", source)?;
        templates.render("t", &serde_json::from_value(row).unwrap())
    }

    #[test]
    fn templates_render_over_rows() {
        let at = "2026-11-23T04:51:37.852Z";
        let cases = [
            ("{{ order }}", serde_json::json!({"order": "<W-1>"}), Ok("<W-1>")),
            ("{{ at | time }}", serde_json::json!({"at": at}), Ok("2026-11-23 04:51 UTC")),
            ("{{ at | time }}", serde_json::json!({"at": null}), Ok("unknown")),
            (
                "{{ public_url }}/orders/{{ order | urlencode }}",
                serde_json::json!({"order": "№ 1/2?"}),
                Ok("http://127.0.0.1:8080/orders/%E2%84%96%201%2F2%3F"),
            ),
            (
                "{{ at | time }}",
                serde_json::json!({"at": "noon"}),
                Err("`time` takes a time column, not \"noon\""),
            ),
            ("{{ order }}", serde_json::json!({}), Err("undefined value")),
            (
                "{% for a in range(999) %}{% for b in range(999) %}{{ n }}{% endfor %}{% endfor %}",
                serde_json::json!({"n": 1}),
                Err("ran out of fuel"),
            ),
        ];
        for (source, row, expected) in cases {
            match (rendered(source, row), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{source}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{source}: {why}"),
                (got, _) => panic!("{source}: {got:?}"),
            }
        }
    }
}
