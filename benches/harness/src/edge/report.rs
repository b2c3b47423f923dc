//! What was measured, as tables for a terminal and for a page, as JSON, and as a plot.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{Args, connects, hits, idle, plot};
use crate::load::Result;
use crate::stats::Spread;

/// All figures of a run; parts that did not run are empty.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    bench: &'static str,
    date: String,
    machine: String,
    rounds: u32,
    seconds: f64,
    connections: u16,
    streams: u16,
    log: bool,
    pub(super) ram: Vec<hits::Row>,
    pub(super) layered: Vec<hits::Row>,
    pub(super) logged: Vec<hits::Row>,
    pub(super) disk: Vec<hits::Row>,
    pub(super) connects: Vec<connects::Row>,
    pub(super) idle: Vec<idle::Row>,
    #[serde(skip)]
    args: &'a Args,
}

/// A table, however it is shown.
struct Table {
    title: String,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(args: &'a Args) -> Self {
        Self {
            bench: "edge",
            date: headwater_net::Clock::system().now().to_http_date(),
            machine: crate::cpu::machine(),
            rounds: args.rounds,
            seconds: args.seconds,
            connections: args.connections,
            streams: args.streams,
            log: args.log,
            ram: Vec::new(),
            layered: Vec::new(),
            logged: Vec::new(),
            disk: Vec::new(),
            connects: Vec::new(),
            idle: Vec::new(),
            args,
        }
    }

    /// Prints all tables.
    pub(super) fn print(&self) {
        println!("{}", self.how());
        for table in self.tables() {
            println!("\n{}", table.text());
        }
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// When one cannot be written, or a page has no marks.
    pub(super) fn save(&self) -> Result<()> {
        if let Some(file) = &self.args.json {
            std::fs::write(file, serde_json::to_vec_pretty(self)?)?;
        }
        if let Some(file) = &self.args.svg {
            std::fs::write(file, plot::ratios(&self.ram))?;
        }
        if let Some(file) = &self.args.markdown {
            put_between_marks(file, &self.markdown())?;
        }
        Ok(())
    }

    fn how(&self) -> String {
        format!(
            "{}, {}: {} connections × {} requests, {} rounds of {} s each, access log {}",
            self.date,
            self.machine,
            self.connections,
            self.streams,
            self.rounds,
            self.seconds,
            if self.log { "on" } else { "off" }
        )
    }

    fn markdown(&self) -> String {
        let mut text = format!("{}.\n", self.how());
        for table in self.tables() {
            let _ = write!(text, "\n{}", table.markdown());
        }
        text
    }

    fn tables(&self) -> Vec<Table> {
        let hits = [
            ("Hits from memory", &self.ram),
            ("Hits from memory, with every layer on", &self.layered),
            ("Hits from memory, each logged", &self.logged),
            ("Hits from disk (its pages in the system's memory)", &self.disk),
        ];
        let hits = hits.into_iter().filter(|(_, rows)| !rows.is_empty());
        let mut tables: Vec<Table> = hits.map(|(title, rows)| of_hits(title, rows)).collect();
        if !self.connects.is_empty() {
            tables.push(of_connects(&self.connects));
        }
        if let Some(first) = self.idle.first() {
            tables.push(of_idle(&self.idle, first.connections));
        }
        tables
    }
}

fn of_hits(title: &str, rows: &[hits::Row]) -> Table {
    let lines = rows.iter().flat_map(|row| {
        row.servers.iter().enumerate().map(|(which, one)| {
            vec![
                row.protocol.name().to_owned(),
                bytes(row.size),
                one.name.to_owned(),
                if which == 0 { String::new() } else { ratio(one.ratio) },
                format!("{:.1}", one.cpu_us.median),
                format!("{:.0}", one.requests_per_s),
                format!("{:.0}", one.mb_per_s),
                format!("{:.0}", one.p99_us),
                format!("{:.1}", one.misses_per_mille),
            ]
        })
    });
    Table {
        title: title.to_owned(),
        head: &[
            "",
            "body",
            "server",
            "CPU ratio, ours / its (quartiles)",
            "CPU-µs/request",
            "requests/s",
            "MB/s",
            "p99 µs",
            "misses ‰",
        ],
        rows: lines.collect(),
    }
}

fn of_connects(rows: &[connects::Row]) -> Table {
    let lines = rows.iter().flat_map(|row| {
        row.servers.iter().enumerate().map(|(which, one)| {
            vec![
                row.protocol.name().to_owned(),
                if row.resumed { "resumed" } else { "full" }.to_owned(),
                one.name.to_owned(),
                if which == 0 { String::new() } else { ratio(one.ratio) },
                format!("{:.0}", one.cpu_us.median),
                format!("{:.0}", one.connections_per_s),
                if row.resumed {
                    format!("{:.0} %", one.with_ticket * 100.0)
                } else {
                    String::new()
                },
            ]
        })
    });
    Table {
        title: "New connections, each with one request of 1 KiB".to_owned(),
        head: &[
            "",
            "handshake",
            "server",
            "CPU ratio, ours / its (quartiles)",
            "CPU-µs/connection",
            "connections/s",
            "with a ticket",
        ],
        rows: lines.collect(),
    }
}

fn of_idle(rows: &[idle::Row], connections: u16) -> Table {
    let lines = rows.iter().flat_map(|row| {
        row.servers.iter().map(|one| {
            let kib = one.bytes_per_connection / 1024.0;
            vec![row.protocol.name().to_owned(), one.name.to_owned(), format!("{kib:.1}")]
        })
    });
    Table {
        title: format!("Memory of {connections} connections on which nothing happens"),
        head: &["", "server", "KiB/connection"],
        rows: lines.collect(),
    }
}

fn ratio(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.low, spread.high)
}

/// A length in the largest unit that divides it.
pub(super) fn bytes(size: u64) -> String {
    match size {
        size if size > 0 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        size if size > 0 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}

impl Table {
    /// In columns: words to the left, figures to the right.
    fn text(&self) -> String {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let all = cells(column).map(|cell| cell.chars().count());
                all.chain([self.head[column].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, &width)| {
                let is_figure = cell.starts_with(|c: char| c.is_ascii_digit());
                if is_figure { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut text = format!("{}\n", self.title);
        text += &line(&mut self.head.iter().copied());
        for row in &self.rows {
            text.push('\n');
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n| {} |\n", self.title, self.head.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.head.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- end of figures -->";

/// Puts `text` in the place of what a page has between its marks.
fn put_between_marks(file: &Path, text: &str) -> Result<()> {
    let page = std::fs::read_to_string(file)?;
    let page = between_marks(&page, text)
        .ok_or_else(|| format!("{} has no marks for figures", file.display()))?;
    Ok(std::fs::write(file, page)?)
}

fn between_marks(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_the_same_for_a_terminal_and_a_page() {
        let rows = vec![vec!["H1".to_owned(), "0.62".to_owned()]];
        let table = Table { title: "Hits".to_owned(), head: &["", "CPU ratio"], rows };
        assert_eq!(table.text(), "Hits\n    CPU ratio\nH1       0.62");
        let page = "## Hits\n\n|  | CPU ratio |\n|---|---|\n| H1 | 0.62 |\n";
        assert_eq!(table.markdown(), page);
    }

    #[test]
    fn figures_take_the_place_of_the_last_ones() {
        let page = "# A\n<!-- figures -->\n\nold\n\n<!-- end of figures -->\nZ\n";
        let new = between_marks(page, "new\n").unwrap();
        assert_eq!(new, "# A\n<!-- figures -->\n\nnew\n\n<!-- end of figures -->\nZ\n");
        assert_eq!(between_marks(&new, "new\n").unwrap(), new);
        assert_eq!(between_marks("no marks", "new"), None);
    }

    #[test]
    fn lengths_are_told_in_their_unit() {
        assert_eq!((bytes(1 << 10), bytes(1 << 20)), ("1 KiB".to_owned(), "1 MiB".to_owned()));
        assert_eq!(bytes(1500), "1500 B");
    }
}
