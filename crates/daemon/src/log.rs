//! Structured logs on standard error: one line per event, fields rather than prose.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::{Common, LogFormat};

/// Starts the log of this process. Call once, first thing in `main`.
///
/// # Errors
/// `settings.log` is not a list of directives; the message names the bad one.
pub fn init(settings: &Common) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&settings.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match settings.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// An error with all its causes on one line, for the one place that logs it.
///
/// A cause that the text before already tells is left out: many libraries repeat the source in
/// their own message.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message over the messages of its causes.
    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Layer {
        message: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(messages: &[&'static str]) -> Option<Box<Layer>> {
        let (message, below) = messages.split_first()?;
        Some(Box::new(Layer { message, source: layers(below) }))
    }

    #[test]
    fn a_cause_is_told_once() {
        let connect = "client error (Connect)";
        let cases: [(&[&'static str], &str); 4] = [
            (&["cannot insert"], "cannot insert"),
            (&["cannot insert", "refused"], "cannot insert: refused"),
            (
                &["network error: client error (Connect)", connect, "tcp connect error", "refused"],
                "network error: client error (Connect): tcp connect error: refused",
            ),
            (&["a: b: c", "b: c", "c"], "a: b: c"),
        ];
        for (messages, expected) in cases {
            let error = layers(messages).unwrap();
            assert_eq!(chain(error.as_ref()), expected);
        }
    }
}
