//! Tests against a simulated disk that counts, fills up, breaks and loses power.

pub(crate) mod simulated;
mod world;
mod crashes;
mod damage;
mod salvage;
mod faults;
mod groups;
mod reading;
