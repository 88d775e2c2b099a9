//! Alert rules as SQL over the order views, and the evaluator that pushes them to Alertmanager.
//!
//! The evaluator remembers nothing that decides: when an alert began and ended comes from the
//! data, so a restart, or a second evaluator beside the first, makes no difference to on-call.
//! Whom to call, how often and what to group is Alertmanager's.
#![forbid(unsafe_code)]

pub mod settings;
pub mod finding;
mod rule_file;
mod template;
pub mod rule;
mod rows;
mod columns;
pub mod alert;
mod told;
mod figures;
mod alertmanager;
mod mailbox;
mod delivery;
mod group_health;
mod evaluation;
mod reload;
pub mod program;
mod scratch;
mod fixture;
pub mod testing;
pub mod preview;
pub mod routing;
