//! Alert rules as SQL over the order views, and the evaluator that pushes them to Alertmanager.
