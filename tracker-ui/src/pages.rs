//! The pages: one file each. A page's view is computed by a pure function from what the store
//! said and a frame, and rendered by its template; the handler asks, builds and answers.

pub(crate) mod board;
pub(crate) mod stage;
pub(crate) mod order;
pub(crate) mod search;
pub(crate) mod sources;
pub(crate) mod nowhere;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod derived;
