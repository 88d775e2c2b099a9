//! The private stack, the end-to-end tests and the demo.
