//! On-call is called once for each order that hangs: in time, whatever is killed meanwhile, by one
//! call when a thousand hang together, and through an outage of the store.
//!
//! Real engine, collector, pages, evaluator and Alertmanager with the delivered routes, grouping and
//! inhibition; the webhook that is called counts. What hangs got its deadline from event time: it
//! was asked for about an hour before the test, and its hour is over while the test looks.
#![allow(clippy::print_stdout, reason = "seeds and figures are for the person who reads")]

mod watched;
mod scene;
mod prometheus;
mod in_time;
mod kills;
mod storm;
mod outage;
