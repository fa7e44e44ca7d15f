//! The command line, behind the feature `cli`.

pub mod plot;
