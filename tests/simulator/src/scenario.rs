//! What happens to an order: who it is, the course it takes, and what each step looks like in
//! the spans of the system that takes it. Pure: values and a seed in, plans out.

pub mod identity;
pub mod spans;
pub mod shop;
pub mod crm;
pub mod mes;
pub mod course;
