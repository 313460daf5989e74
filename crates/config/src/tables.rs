//! How a TOML language is read whose keys stand in a table: each key asked for by name, each mistake
//! noted with its place, whatever nobody asked for reported. For this crate's own language and for
//! `cluster.toml`, so that both speak to operators alike.

pub use crate::draft::{Maybe, Spanned};
pub use crate::resolve::did_you_mean;
pub use crate::toml::fields::{Entry, Fields, File, read_tables};
pub use crate::toml::sections::{Key, Section, key, reference};
pub use crate::toml::values::{
    flag, must_be, one_of, show_key, show_text, text, time, whole, written,
};
