//! An ordinary FTP server over a temporary folder: libunftp in its own runtime thread.
