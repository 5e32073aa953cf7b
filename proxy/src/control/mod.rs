//! Line streams of the control channel.
