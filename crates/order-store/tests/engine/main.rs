//! The store on the real engine: migrations, repeats, and the SQL derivation against its oracle.

mod server;
mod oracle;
mod store;
