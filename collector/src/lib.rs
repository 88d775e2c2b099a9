//! Receives OTLP, stores spans, logs and order facts, and stitches orders.
