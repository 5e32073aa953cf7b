//! A raw FTP client that can do everything wrong.
