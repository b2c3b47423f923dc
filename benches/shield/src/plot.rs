//! The figures as a drawing: a small chart for each measure, a bar for each scene.

use std::fmt::Write as _;

use crate::report::Figures;
use crate::scene::Outcome;

/// Pixels of a chart, and around it.
const CHART: (f64, f64) = (170.0, 130.0);
const AROUND: (f64, f64) = (30.0, 50.0);
/// Pixels above all charts, for the legend.
const LEGEND: f64 = 50.0;
/// Scenes in one line of it.
const IN_LINE: usize = 3;

/// A colour for each scene.
const COLOURS: [&str; 6] = ["#7f7f7f", "#1f77b4", "#17becf", "#d8d8d8", "#c49c94", "#8c564b"];

type Measure = (&'static str, fn(&Outcome) -> f64);

const MEASURES: [Measure; 5] = [
    ("rebuffering, s", |of| of.players.stalled),
    ("startup, mean, s", |of| of.players.startup_mean),
    ("seek to picture, mean, s", |of| of.players.seek_mean),
    ("in session: first hits, %", |of| of.following.hits()),
    ("wasted of fetched ahead, %", |of| of.prefetch.waste()),
];

/// As SVG.
pub fn draw(figures: &Figures) -> String {
    let width = MEASURES.len() as f64 * (CHART.0 + AROUND.0) + AROUND.0;
    let height = LEGEND + CHART.1 + AROUND.1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (nth, (scene, colour)) in figures.scenes.iter().zip(COLOURS).enumerate() {
        let x = AROUND.0 + (nth % IN_LINE) as f64 * 220.0;
        let y = 10.0 + (nth / IN_LINE) as f64 * 18.0;
        // Writing to a String does not fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            x + 17.0,
            y + 10.0,
            scene.name
        );
    }
    for (nth, measure) in MEASURES.into_iter().enumerate() {
        let x = AROUND.0 + nth as f64 * (CHART.0 + AROUND.0);
        chart(&mut svg, (x, LEGEND + 22.0), figures, measure);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart with its upper left corner there.
fn chart(svg: &mut String, (x, y): (f64, f64), figures: &Figures, (what, measure): Measure) {
    let (width, height) = CHART;
    let most = figures.scenes.iter().map(measure).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{what}</text>\n\
         <path d=\"M{x} {}h{width}\" stroke=\"#ccc\"/>",
        y - 6.0,
        y + height
    );
    let step = width / COLOURS.len() as f64;
    for (nth, (scene, colour)) in figures.scenes.iter().zip(COLOURS).enumerate() {
        let value = measure(scene);
        // Above the highest bar there is room for its number.
        let tall = value / most * (height - 18.0);
        let (left, top) = (x + 2.0 + nth as f64 * step, y + height - tall);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" \
             fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
             font-size=\"9\">{}</text>",
            step - 4.0,
            left + step / 2.0 - 2.0,
            top - 4.0,
            if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
        );
    }
}
