//! The command: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use ftpsgate::cli::{Cli, Exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => cli.execute().unwrap_or_else(|error| {
            // Where standard error is gone, there is nobody left to tell.
            let _ = std::io::stderr().write_all(error.render().as_bytes());
            error.exit()
        }),
        Err(error) => {
            // Help and version are errors to clap, too, and end with 0.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Success }
        }
    };
    exit.into()
}
