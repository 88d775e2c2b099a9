//! Tests against a simulated disk that counts, fills up, breaks and loses power.

mod simulated;
mod world;
mod crashes;
mod damage;
mod faults;
mod groups;
mod reading;
