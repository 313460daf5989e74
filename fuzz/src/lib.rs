//! What the fuzz targets hold any input to. A file here is also part of a property test of the crate
//! that it drives, so that both ask the same.

pub mod answer;
pub mod configuration;
