//! What makes a program a good daemon: settings, logs, health, metrics, stop.
