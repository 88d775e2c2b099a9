//! What a request's text is, and what the engine is given instead: pure, no IO.
//!
//! The engine parses; this only finds the seams that the C interface needs: where an INSERT ends
//! and its data begins, and where a SELECT names its format. [`guard`] says what a user may not
//! say.

pub(crate) mod lexer;
pub(crate) mod insert;
pub(crate) mod output;
pub(crate) mod guard;
