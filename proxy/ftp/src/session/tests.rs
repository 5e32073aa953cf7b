//! Wire transcripts under a virtual clock.
