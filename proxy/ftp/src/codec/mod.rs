//! Bytes to values and back: lines, commands, replies, addresses, paths, features.

pub mod address;
pub mod command;
pub mod features;
pub mod line;
pub mod parameter;
pub mod path;
pub mod reply;
pub mod verb;

pub use address::Family;
pub use command::{Command, CommandError};
pub use features::FeatureSet;
pub use line::{LineDecoder, LineError};
pub use parameter::Protection;
pub use reply::{Code, Kind, Reply, ReplyDecoder, ReplyError};
pub use verb::{Arity, Verb};
