//! The status board, the stage lists and the order look-up.
//!
//! Pages are rendered here and are whole without JavaScript; the JSON API beside them shows the
//! same numbers. What late or stuck means is decided in the store's views; nothing here decides
//! it again. Modules stand in the order in which a request meets them, backwards: what a page is
//! made of first, the URL map and the program last.
#![forbid(unsafe_code)]

pub mod language;
pub mod texts;
pub mod locale;
pub mod cursor;
pub mod links;
pub mod settings;
pub mod assets;
mod measure;
mod replicas;
mod outage;
mod reads;
pub mod app;
mod frame;
mod failure;
mod words;
mod customer;
mod pages;
pub mod api;
mod guard;
pub mod urls;

pub use app::App;
pub use settings::Settings;
