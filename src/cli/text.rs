//! Tables and quantities as people read them.

/// Columns under each other, two blanks between; the last column is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `987 bit/s`, `128 kbit/s`, `4.21 Mbit/s`.
pub(super) fn rate(bits: u64) -> String {
    match bits {
        0..1_000 => format!("{bits} bit/s"),
        1_000..1_000_000 => format!("{} kbit/s", (bits + 500) / 1_000),
        _ => format!("{}.{:02} Mbit/s", bits / 1_000_000, bits % 1_000_000 / 10_000),
    }
}

/// `987 B`, `12.3 kB`, `4.56 MB`, `7.89 GB`.
pub(super) fn bytes(count: u64) -> String {
    let (unit, name) = match count {
        0..1_000 => return format!("{count} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{:02} {name}", count / unit, count % unit * 100 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        assert_eq!(
            [rate(999), rate(1_499), rate(4_219_999)],
            ["999 bit/s", "1 kbit/s", "4.21 Mbit/s"]
        );
        assert_eq!(
            [bytes(12), bytes(12_345), bytes(7_890_000_000)],
            ["12 B", "12.34 kB", "7.89 GB"]
        );
    }

    #[test]
    fn columns_line_up() {
        let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
        assert_eq!(table(&[row("a", "é", "x"), row("bb", "cc", "")]), "a   é   x\nbb  cc\n");
    }
}
