//! A scripted FTP server that can do everything wrong.
