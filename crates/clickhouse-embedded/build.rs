//! Lets the engine's calls reach our own functions; see `src/ffi/writes.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // A library that is loaded at run time finds only those symbols of a program that it exports.
    for symbol in ["write", "fsync", "fdatasync", "rename"] {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={symbol}");
    }
}
