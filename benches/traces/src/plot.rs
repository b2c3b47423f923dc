//! The figures as a drawing: for each trace three small charts, hits, hits of what a start waits for and
//! bytes of hits, by the size of the cache, a line for each policy.

use std::fmt::Write as _;

use crate::measure::Counted;
use crate::policy::Kind;
use crate::report::{Figures, Row};

/// Pixels of a chart, and around it.
const CHART: (f64, f64) = (210.0, 130.0);
const AROUND: (f64, f64) = (40.0, 44.0);
/// Charts side by side.
const ACROSS: usize = 4;
/// Pixels above all charts, for the legend and what lies across, and of an entry.
const LEGEND: f64 = 70.0;
const ENTRY: (f64, f64) = (140.0, 15.0);
/// Entries side by side.
const ENTRIES: usize = 5;

/// A number of a count.
type Measure = fn(&Counted) -> f64;

/// What is drawn of each trace.
const MEASURES: [(&str, Measure); 3] = [
    ("hits", Counted::hit_ratio),
    ("starts", Counted::start_hit_ratio),
    ("bytes", Counted::byte_hit_ratio),
];

/// A colour for each policy, and dashes for who knows the future.
const fn stroke(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Ram => ("#d62728", ""),
        Kind::RamTold => ("#d62728", "6 2"),
        Kind::Disk => ("#ff9f1c", ""),
        Kind::Lru => ("#7f7f7f", ""),
        Kind::S3Fifo => ("#2ca02c", ""),
        Kind::WTinyLfu => ("#9467bd", ""),
        Kind::Moka => ("#1f77b4", ""),
        Kind::MokaTold => ("#17becf", "4 2"),
        Kind::BestHits => ("#000000", "2 3"),
        Kind::BestBytes => ("#000000", "6 3"),
    }
}

/// As SVG.
pub fn draw(figures: &Figures) -> String {
    let rows = figures.traces.len().div_ceil(ACROSS) * MEASURES.len();
    let width = ACROSS as f64 * (CHART.0 + AROUND.0) + AROUND.0 / 2.0;
    let height = LEGEND + rows as f64 * (CHART.1 + AROUND.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (nth, kind) in Kind::ALL.into_iter().enumerate() {
        let x = AROUND.0 + (nth % ENTRIES) as f64 * ENTRY.0;
        let y = ENTRY.1 * (1 + nth / ENTRIES) as f64;
        let (colour, dashes) = stroke(kind);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y}h20\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" \
             stroke-width=\"2\"/><text x=\"{}\" y=\"{}\" font-size=\"10\">{}</text>",
            x + 24.0,
            y + 4.0,
            kind.name()
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-size=\"10\">across: the size of the cache, % of all bytes that \
         the trace asks for, each counted once</text>",
        AROUND.0,
        ENTRY.1 * (2 + Kind::ALL.len().div_ceil(ENTRIES)) as f64 - ENTRY.1 / 2.0
    );
    let shares = figures.shares();
    for (nth, row) in figures.traces.iter().enumerate() {
        for (of, (what, measure)) in MEASURES.into_iter().enumerate() {
            let x = AROUND.0 + (nth % ACROSS) as f64 * (CHART.0 + AROUND.0);
            let y = LEGEND + (nth / ACROSS * MEASURES.len() + of) as f64 * (CHART.1 + AROUND.1);
            chart(&mut svg, (x, y), row, &shares, (what, measure));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart with its upper left corner there.
fn chart(
    svg: &mut String,
    (x, y): (f64, f64),
    row: &Row,
    shares: &[f64],
    (what, measure): (&str, fn(&Counted) -> f64),
) {
    let (width, height) = CHART;
    let (first, last) = (shares.first().copied(), shares.last().copied());
    let (low, high) = (first.unwrap_or(0.1).ln(), last.unwrap_or(100.0).ln());
    let most = row.cells.iter().map(|cell| measure(&cell.found)).fold(1.0, f64::max);
    // Whole tens.
    let top = (most / 10.0).ceil() * 10.0;
    let across = |share: f64| x + (share.ln() - low) / (high - low) * width;
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{}: {what}, %</text>\n\
         <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"none\" \
         stroke=\"#ccc\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{top}</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>",
        y - 5.0,
        row.name,
        x - 4.0,
        y + 10.0,
        x - 4.0,
        y + height
    );
    for &share in shares {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\">{share}</text>",
            across(share),
            y + height + 12.0
        );
    }
    for kind in Kind::ALL {
        let ((colour, dashes), mut points) = (stroke(kind), String::new());
        for &share in shares {
            let up = measure(&row.at(kind, share)) / top * height;
            let _ = write!(points, "{:.0},{:.1} ", across(share), y + height - up);
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-dasharray=\"{dashes}\" stroke-width=\"1.5\"/>",
            points.trim_end()
        );
    }
}
