//! `collector token new`: a fresh token for a sender, and the stanza for the tokens file.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::access::file::{self, Mistakes};
use crate::access::token::{self, TokenHash};

/// What `collector token` takes.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What is done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Make a fresh token: the token, once, on standard error; the stanza for the file of
    /// `--tokens` on standard output, so that `>> tokens.toml` adds it.
    New {
        /// What logs and metrics will call the source.
        name: String,
    },
}

/// The command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name cannot be that of a source.
    #[error("`{name}` cannot name a source")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: Mistakes,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness(#[source] getrandom::Error),
    /// The output is closed.
    #[error("cannot write the token")]
    Write(#[from] std::io::Error),
}

/// Makes a token; `stanza` gets what belongs into the file, `once` what is shown once.
///
/// # Errors
/// [`TokenError`].
pub fn run(
    args: &TokenArgs,
    stanza: &mut impl Write,
    once: &mut impl Write,
) -> Result<(), TokenError> {
    let TokenCommand::New { name } = &args.command;
    let token = token::fresh().map_err(TokenError::Randomness)?;
    let hash = TokenHash::of(token.as_bytes());
    let quoted = toml::Value::String(name.clone());
    let text = format!("[[source]]\nname = {quoted}\ntoken_sha256 = \"{hash}\"\n");
    file::parse(&text).map_err(|source| TokenError::Name { name: name.clone(), source })?;
    writeln!(once, "The token of `{name}`, shown once and kept nowhere:\n\n    {token}\n")?;
    writeln!(once, "An OpenTelemetry SDK sends it with:\n")?;
    writeln!(once, "    OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{token}\n")?;
    writeln!(once, "For the file of --tokens:\n")?;
    once.flush()?;
    write!(stanza, "\n{text}")?;
    stanza.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stanza_knows_the_token() {
        let (mut stanza, mut once) = (Vec::new(), Vec::new());
        let args = TokenArgs { command: TokenCommand::New { name: "the \"shop\"".to_owned() } };
        run(&args, &mut stanza, &mut once).unwrap();
        let (stanza, once) = (String::from_utf8(stanza).unwrap(), String::from_utf8(once).unwrap());
        let token = once.lines().nth(2).unwrap().trim();
        assert!(!stanza.contains(token));
        let sources = file::parse(&stanza).unwrap();
        assert_eq!(sources.by_token(token.as_bytes()).unwrap().name, "the \"shop\"");
    }

    #[test]
    fn a_name_that_the_file_would_refuse_is_refused() {
        let args = TokenArgs { command: TokenCommand::New { name: " ".to_owned() } };
        let refused = run(&args, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert!(matches!(refused, TokenError::Name { .. }), "{refused}");
    }
}
