//! Random sequences of operations on two cases of one world.

mod commands;
mod driving;
mod operations;
mod reached;

pub(crate) use driving::try_sequence;
pub(crate) use operations::op;
pub(crate) use reached::{REACHED, reached};
