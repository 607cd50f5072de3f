//! What every load of the append benchmark shares, peers in their own packages included: its arguments, the time that
//! counts, and the line it prints. Needs no runtime, because the peers do not agree on one.

mod setting;
mod tally;
mod window;

pub use setting::{BadSetting, EVENTS_PER_STREAM, Setting};
pub use tally::Tally;
pub use window::Window;
