//! `man`: the manual page, with a section for each verb.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::output::print;
use super::{Cli, CliError};

/// Writes the manual page.
///
/// # Errors
///
/// Standard output that cannot be written.
pub fn run() -> Result<(), CliError> {
    print(&page().map_err(CliError::Output)?)
}

fn page() -> io::Result<String> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone()).title("FTPSGATE").section("8").manual("System administration");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    for verb in verbs(&command) {
        page.extend_from_slice(section(verb)?.as_bytes());
    }
    page.extend_from_slice(notes(&command).as_bytes());
    page.extend_from_slice(FILES.as_bytes());
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Every command without commands of its own.
fn verbs(command: &Command) -> Vec<Command> {
    let below = command.get_subcommands().filter(|each| each.get_name() != "help");
    below.flat_map(|each| if each.has_subcommands() { verbs(each) } else { vec![each.clone()] }).collect()
}

/// One verb: a section, its parts one level below.
fn section(verb: Command) -> io::Result<String> {
    let name = verb.get_bin_name().unwrap_or(verb.get_name()).to_uppercase();
    let notes = notes(&verb);
    let man = Man::new(verb);
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    man.render_synopsis_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    let parts = (String::from_utf8_lossy(&parts) + notes.as_str()).replace(".SH ", ".SS ");
    Ok(format!(".SH \"{name}\"\n{}", parts.replacen(".SS DESCRIPTION\n", "", 1)))
}

/// What stands below the options in `--help`: paragraphs, and tables line by line as they stand there.
fn notes(command: &Command) -> String {
    let Some(text) = command.get_after_help() else { return String::new() };
    let text = text.to_string().replace('\\', "\\\\").replace('-', "\\-");
    let mut notes = ".SH NOTES\n".to_owned();
    let mut is_table = false;
    for line in text.lines() {
        if line.starts_with(' ') != is_table {
            is_table = !is_table;
            notes.push_str(if is_table { ".nf\n" } else { ".fi\n" });
        }
        // A line that begins with a dot or a quote would be a request to roff.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        notes.push_str(&format!("{guard}{line}\n"));
    }
    notes + if is_table { ".fi\n" } else { "" }
}

const FILES: &str = "\
.SH FILES
.TP
/etc/ftpsgate/ftpsgate.toml
The configuration where no other is named.
.TP
/var/lib/ftpsgate
The state directory: the local CA. Where it may not be written, $XDG_STATE_HOME/ftpsgate or
~/.local/state/ftpsgate.
";
