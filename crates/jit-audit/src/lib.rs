//! The answers.

mod build;
mod bundle;
mod scan;
mod story;
mod verify;

pub use build::*;
pub use bundle::*;
pub use scan::*;
pub use story::*;
pub use verify::*;
