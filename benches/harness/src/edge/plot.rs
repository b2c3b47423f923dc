//! The ratios of hits from memory as a plot: a bar a case, nginx's cost as the line at 1, and the
//! case's bar as a tick.

use std::fmt::Write as _;

use super::bars::bar;
use super::hits::Row;
use super::report::bytes;

const LEFT: f64 = 150.0;
const SCALE: f64 = 380.0;
const STEP: f64 = 26.0;
const TOP: f64 = 50.0;
/// Longer bars are cut.
const MOST: f64 = 1.3;

/// An SVG 1.1 document; every text in it is ours.
pub(super) fn ratios(rows: &[Row]) -> String {
    let ratios: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let nginx = row.servers.iter().find(|server| server.name == "nginx")?;
            Some((row, nginx.ratio))
        })
        .collect();
    let (width, height) = (LEFT + SCALE * MOST + 60.0, TOP + STEP * ratios.len() as f64 + 40.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">CPU time a request, Headwater over nginx: hits from memory \
         (median, quartiles)</text>\n"
    );
    let bottom = height - 34.0;
    for tenth in [0, 2, 4, 6, 8, 10, 12] {
        let at = f64::from(tenth) / 10.0;
        let x = LEFT + SCALE * at;
        let colour = if tenth == 10 { "#444" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {top}V{bottom}\" stroke=\"{colour}\"/>\
             <text x=\"{x}\" y=\"{below}\" text-anchor=\"middle\">{at:.1}</text>",
            top = TOP - 12.0,
            below = bottom + 18.0,
        );
    }
    for (place, (row, ratio)) in ratios.iter().enumerate() {
        let y = TOP + STEP * place as f64;
        let x = |ratio: f64| LEFT + SCALE * ratio.clamp(0.0, MOST);
        let bar = bar(row.protocol, row.size);
        let missed = bar.is_some_and(|bar| ratio.median > bar);
        let colour = if missed { "#d1662b" } else { "#2b6fb3" };
        let _ = writeln!(
            svg,
            "<text x=\"{label}\" y=\"{text}\" text-anchor=\"end\">{} {}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{long}\" height=\"16\" fill=\"{colour}\"/>\
             <path d=\"M{low} {middle}H{high}\" stroke=\"#111\" stroke-width=\"2\"/>\
             <text x=\"{after}\" y=\"{text}\">{:.2}</text>",
            row.protocol.name(),
            bytes(row.size),
            ratio.median,
            label = LEFT - 10.0,
            text = y + 13.0,
            long = x(ratio.median) - LEFT,
            low = x(ratio.low),
            high = x(ratio.high),
            middle = y + 8.0,
            after = x(ratio.high.max(ratio.median)) + 8.0,
        );
        if let Some(bar) = bar {
            let _ = writeln!(
                svg,
                "<path d=\"M{} {}v22\" stroke=\"#111\" stroke-dasharray=\"3 2\"/>",
                x(bar),
                y - 3.0
            );
        }
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_of_nothing_is_a_document_too() {
        let svg = ratios(&[]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
