//! Any address that the URL map does not have.

use crate::failure::Failure;
use crate::frame::Frame;

/// The fallback.
pub(crate) async fn page(frame: Frame) -> Failure {
    Failure::no_page(&frame)
}
