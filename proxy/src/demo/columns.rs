//! The demo for people: both sides of the wire beside each other.
//!
//! A message and its counterpart on the other side stand in one row. Replies that name a data port are marked, and the
//! ports that the gateway put in place of the backend's are told.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::report::{Report, Rewritten, Summary};
use super::wire::{Event, Heading, Message, Side};

/// Writes two columns.
#[derive(Debug)]
pub(super) struct Columns<W> {
    output: W,
    /// Of one column.
    width: usize,
    color: bool,
    /// What waits for its counterpart: one message, or what the client says and hears from EPSV or QUIT on, since the
    /// gateway answers those before the backend does.
    held: VecDeque<Message>,
}

impl<W: Write> Columns<W> {
    /// `width` is that of the terminal, in characters.
    pub(super) fn new(output: W, width: usize, color: bool) -> Self {
        let width = (width.clamp(WIDTH_MIN, WIDTH_MAX) - MIDDLE) / 2;
        Self { output, width, color, held: VecDeque::new() }
    }

    /// The heads of the columns.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        writeln!(self.output)?;
        let heads = ["client ⇄ gateway: TLS", "gateway ⇄ backend: clear text"];
        self.row(&[(heads[0].into(), Style::Bold)], &[(heads[1].into(), Style::Bold)], ' ')?;
        let rule = "─".repeat(self.width);
        self.row(&[(rule.clone(), Style::Dim)], &[(rule, Style::Dim)], ' ')
    }

    fn message(&mut self, message: &Message) -> io::Result<()> {
        if let Some(index) = self.held.iter().position(|held| are_counterparts(held, message)) {
            self.release(index)?;
            let counterpart = self.held.pop_front().expect("it was just found");
            return self.messages([&counterpart, message]);
        }
        let runs_ahead = self.held.front().is_some_and(is_answered_early)
            && self.held.iter().all(|held| held.side == message.side)
            && self.held.len() < HELD_MAX;
        if !runs_ahead {
            self.pause()?;
        }
        self.held.push_back(message.clone());
        Ok(())
    }

    /// Shows the first `count` of what is held, each alone.
    fn release(&mut self, count: usize) -> io::Result<()> {
        for message in self.held.drain(..count).collect::<Vec<_>>() {
            self.messages([&message])?;
        }
        Ok(())
    }

    /// One row, for a message or for a message and its counterpart.
    fn messages<const COUNT: usize>(&mut self, messages: [&Message; COUNT]) -> io::Result<()> {
        let column = |side| {
            let message = messages.iter().find(|message| message.side == side);
            message.map(|message| cells(message, self.width)).unwrap_or_default()
        };
        let (left, right) = (column(Side::Downstream), column(Side::Upstream));
        let marked = messages.iter().any(|message| message.data_port.is_some());
        self.row(&left, &right, if marked { '◆' } else { '│' })
    }

    fn note(&mut self, side: Side, text: &str) -> io::Result<()> {
        let lines = wrap(&format!("· {text}"), self.width, "  ");
        let note: Vec<Cell> = lines.into_iter().map(|line| (line, Style::Dim)).collect();
        match side {
            Side::Downstream => self.row(&note, &[], '│'),
            Side::Upstream => self.row(&[], &note, '│'),
        }
    }

    fn row(&mut self, left: &[Cell], right: &[Cell], middle: char) -> io::Result<()> {
        let empty = (String::new(), Style::Plain);
        for index in 0..left.len().max(right.len()) {
            let (left, left_style) = left.get(index).unwrap_or(&empty);
            let (right, right_style) = right.get(index).unwrap_or(&empty);
            let padding = " ".repeat(self.width.saturating_sub(left.chars().count()));
            let left = self.paint(left, *left_style);
            let right = self.paint(right, *right_style);
            let middle =
                self.paint(&middle.to_string(), if middle == '◆' { Style::Marked } else { Style::Dim });
            writeln!(self.output, "{}", format!("{left}{padding} {middle} {right}").trim_end())?;
        }
        self.output.flush()
    }

    fn paint(&self, text: &str, style: Style) -> String {
        let code = match style {
            _ if !self.color || text.is_empty() => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Marked => "1;33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl<W: Write> Report for Columns<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Message(message) => self.message(message),
            Event::Note(side, text) => {
                self.pause()?;
                self.note(*side, text)
            }
        }
    }

    fn rewritten(&mut self, rewritten: Rewritten) -> io::Result<()> {
        // Behind the replies that it is about, but not behind what waits for its counterpart.
        let replies =
            self.held.iter().rposition(|held| held.data_port.is_some()).map_or(0, |index| index + 1);
        self.release(replies)?;
        let Rewritten { backend, gateway } = rewritten;
        let text = format!("◆ rewritten: backend port {backend} → gateway port {gateway}");
        writeln!(self.output, "{}", self.paint(&text, Style::Marked))
    }

    fn pause(&mut self) -> io::Result<()> {
        self.release(self.held.len())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        writeln!(self.output)?;
        for check in &summary.checks {
            let mark = if check.ok { self.paint("✓", Style::Good) } else { self.paint("✗", Style::Bad) };
            writeln!(self.output, "{mark} {}: {}", check.what, check.found)?;
        }
        writeln!(self.output, "\n{}\n", self.paint("The configuration that was used:", Style::Bold))?;
        for line in summary.toml.lines() {
            writeln!(self.output, "{}", format!("    {line}").trim_end())?;
        }
        self.output.flush()
    }

    fn stays(&mut self, summary: &Summary) -> io::Result<()> {
        writeln!(self.output, "\n{}\n", self.paint("Now yours, until Ctrl-C:", Style::Bold))?;
        for command in summary.commands() {
            writeln!(self.output, "    {}", self.paint(&format!("# {}", command.name), Style::Dim))?;
            writeln!(self.output, "    {}\n", command.words.join(" \\\n        "))?;
        }
        writeln!(self.output, "What your client makes the gateway say to the backend appears on the right.")?;
        writeln!(self.output, "Everything is in {}, until the end.\n", summary.folder().display())?;
        self.output.flush()
    }
}

/// Text for one column, no wider than it.
type Cell = (String, Style);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Marked,
}

/// The same command or reply on the two sides; those that open a data connection may differ in kind.
fn are_counterparts(held: &Message, message: &Message) -> bool {
    held.side != message.side
        && held.heading == message.heading
        && (held.word() == message.word() || is_passive(held) && is_passive(message))
}

fn is_passive(message: &Message) -> bool {
    matches!(message.word(), "PASV" | "EPSV" | "227" | "229")
}

/// What the gateway answers, or says, before its backend was asked or has answered.
fn is_answered_early(message: &Message) -> bool {
    is_passive(message) || matches!(message.word(), "QUIT" | "221")
}

fn cells(message: &Message, width: usize) -> Vec<Cell> {
    let fails = message.heading == Heading::Reply && message.word().starts_with(['4', '5']);
    let style = match message.heading {
        _ if message.data_port.is_some() => Style::Marked,
        Heading::Reply if fails => Style::Bad,
        Heading::Reply => Style::Plain,
        Heading::Request => Style::Bold,
    };
    let mut cells = Vec::new();
    for (index, line) in message.lines.iter().enumerate() {
        let head = if index == 0 { message.heading.arrow() } else { ' ' };
        cells.extend(wrap(&format!("{head} {line}"), width, "    ").into_iter().map(|line| (line, style)));
    }
    cells
}

/// Cuts a line into pieces of at most `width` characters, at a blank where there is a late one; those after the first
/// stand behind an indent.
fn wrap(line: &str, width: usize, indent: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let blank = rest[..=width].iter().rposition(|&character| character == ' ');
        let cut = blank.filter(|&cut| cut > width / 2).unwrap_or(width);
        let tail = rest.split_off(cut);
        pieces.push(rest.into_iter().collect());
        let tail = tail.strip_prefix(&[' ']).unwrap_or(&tail);
        rest = indent.chars().chain(tail.iter().copied()).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

/// EPSV, 229 and the transfer command.
const HELD_MAX: usize = 3;
/// Between the columns: a blank, a line, a blank.
const MIDDLE: usize = 3;
const WIDTH_MIN: usize = 60;
const WIDTH_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use ftpsgate_ftp::codec::{Command, Reply};

    use super::*;

    fn shown(color: bool, events: &[Event]) -> String {
        let mut columns = Columns::new(Vec::new(), 64, color);
        for event in events {
            columns.event(event).unwrap();
        }
        columns.pause().unwrap();
        String::from_utf8(columns.output).unwrap()
    }

    fn request(side: Side, line: &str) -> Event {
        Event::Message(Message::request(side, &Command::parse(line.as_bytes()).unwrap()))
    }

    fn reply(side: Side, code: u16, text: &str) -> Event {
        Event::Message(Message::reply(side, &Reply::new(code, text)))
    }

    #[test]
    fn counterparts_stand_in_one_row() {
        let text = shown(
            false,
            &[
                request(Side::Downstream, "PBSZ 0"),
                reply(Side::Downstream, 200, "PBSZ=0"),
                request(Side::Downstream, "PASS canary"),
                request(Side::Upstream, "PASS canary"),
                reply(Side::Upstream, 230, "in"),
                reply(Side::Downstream, 230, "in"),
            ],
        );
        assert_eq!(
            text,
            "> PBSZ 0                       │\n\
             < 200 PBSZ=0                   │\n\
             > PASS ***                     │ > PASS ***\n\
             < 230 in                       │ < 230 in\n"
        );
    }

    #[test]
    fn a_gateway_that_answers_before_its_backend_does_stands_beside_it() {
        let events = [
            request(Side::Downstream, "PASV"),
            reply(Side::Downstream, 227, "ok (127,0,0,1,8,52)"),
            request(Side::Upstream, "EPSV"),
            reply(Side::Upstream, 229, "ok (|||2101|)"),
        ];
        let text = "> PASV                         │ > EPSV\n\
                    < 227 ok (127,0,0,1,8,52)      ◆ < 229 ok (|||2101|)\n";
        assert_eq!(shown(false, &events), text);
        let [ask, answer, ask_backend, backend_answers] = events;
        let orderly = [ask.clone(), ask_backend.clone(), backend_answers.clone(), answer.clone()];
        assert_eq!(shown(false, &orderly), text);
        let (list, list_backend) = (request(Side::Downstream, "LIST"), request(Side::Upstream, "LIST"));
        let far_ahead = [ask, answer, list, ask_backend, backend_answers, list_backend];
        assert_eq!(shown(false, &far_ahead), format!("{text}> LIST                         │ > LIST\n"));
    }

    #[test]
    fn a_message_without_counterpart_is_not_held_for_ever() {
        let events = [
            request(Side::Downstream, "EPSV"),
            reply(Side::Downstream, 229, "ok (|||2100|)"),
            request(Side::Downstream, "STAT"),
            reply(Side::Downstream, 211, "idle"),
            request(Side::Downstream, "NOOP"),
            request(Side::Upstream, "NOOP"),
        ];
        assert_eq!(
            shown(false, &events),
            "> EPSV                         │\n\
             < 229 ok (|||2100|)            ◆\n\
             > STAT                         │\n\
             < 211 idle                     │\n\
             > NOOP                         │ > NOOP\n"
        );
    }

    #[test]
    fn a_rewrite_is_told_behind_its_replies() {
        let mut columns = Columns::new(Vec::new(), 64, false);
        columns.event(&reply(Side::Upstream, 229, "ok (|||2101|)")).unwrap();
        columns.rewritten(Rewritten { backend: 2101, gateway: 2100 }).unwrap();
        let text = String::from_utf8(columns.output).unwrap();
        let rows: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(rows, ["◆ < 229 ok (|||2101|)", "◆ rewritten: backend port 2101 → gateway port 2100"]);
    }

    #[test]
    fn a_line_is_cut_at_a_blank_if_it_can_be() {
        let line = "< 229 Entering Extended Passive Mode (|||44763|)";
        assert_eq!(wrap(line, 40, "    "), ["< 229 Entering Extended Passive Mode", "    (|||44763|)"]);
        assert_eq!(wrap("xxxxxxxxxx", 4, " "), ["xxxx", " xxx", " xxx"]);
        assert_eq!(wrap("x xxx xxx", 5, " "), ["x xxx", " xxx"]);
        assert_eq!(wrap("xxxxx", 5, " "), ["xxxxx"]);
        assert_eq!(wrap("", 5, " "), [""]);
    }

    #[test]
    fn long_lines_are_wrapped_and_colours_do_not_count() {
        let event = reply(Side::Upstream, 550, &"x".repeat(40));
        let plain = shown(false, std::slice::from_ref(&event));
        assert!(plain.lines().all(|line| line.chars().count() <= 64), "{plain}");
        assert_eq!(plain.lines().count(), 2);
        let colored = shown(true, &[event]);
        assert!(colored.contains("\x1b[1;31m< 550 xxx"), "{colored}");
    }
}
