//! Turns haproxy.cfg or TOML text into one [`Config`] in which every value is final.
//!
//! Two readers produce one draft; [`load`] resolves it: defaults applied, names linked, every
//! problem reported at once. Knows no sockets and no runtime: environment variables and name
//! look-ups come in through [`Environment`].

mod model;
mod problem;

pub use model::*;
pub use problem::{Place, Problem, Severity};
