//! Pages and API over the real engine: what is asked over HTTP is what was inserted.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod orders;
mod stack;
mod pages;
mod api;
mod webhook;
mod derived;
mod faults;
mod bounds;
