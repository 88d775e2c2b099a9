//! The vocabulary of orders: stages, lifecycle, attribute keys and the pure fold from facts to state.
