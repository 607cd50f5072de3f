//! Witnesses: third parties that cosign a checkpoint only if it extends the last one they cosigned
//! (C2SP tlog-witness).

mod anchor;
mod client;
mod cosigning;
#[cfg(feature = "witness")]
mod http;
mod publishing;

pub use anchor::WitnessAnchor;
pub use client::{WitnessAnswer, WitnessClient, WitnessError};
pub use cosigning::{CosignError, Cosigning, CosigningError};
#[cfg(feature = "witness")]
pub use http::{HttpWitness, WitnessUrlError};
