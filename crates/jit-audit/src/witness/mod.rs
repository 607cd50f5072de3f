//! A witness that auditors run themselves (C2SP tlog-witness v1.0.0).

mod server;
mod state;

pub use server::WitnessServer;
pub use state::{AskError, StateError, WitnessState};
