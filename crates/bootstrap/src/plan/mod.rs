//! What is to be done, as a value: [`Plan`]. Made from an inventory and facts alone, shown as it is
//! run and run as it is shown.

mod fact;
mod step;
mod text;

pub use fact::{BEGUN, Fact, quote};
pub use step::{Action, Order, Plan, Stage, Step};
pub use text::{Later, Text};
