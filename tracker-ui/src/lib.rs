//! The status board, the stage lists and the order look-up.
