//! Lines over the last minutes, as SVG.

use plotters::prelude::*;
use tracing::warn;

use super::super::traffic::SECONDS;

const SIZE: (u32, u32) = (640, 180);
/// Seen on white and on black.
const AXIS: RGBColor = RGBColor(128, 128, 128);
pub(super) const COLOURS: [RGBColor; 2] = [RGBColor(59, 130, 246), RGBColor(217, 119, 6)];

/// One line of `COLOURS` for each series, whose last value is of now.
pub(super) fn chart(series: &[Vec<f64>]) -> String {
    let mut svg = String::new();
    match draw(&mut svg, series) {
        Ok(()) => svg,
        Err(error) => {
            warn!(error, "chart not drawn");
            String::new()
        }
    }
}

fn draw(svg: &mut String, series: &[Vec<f64>]) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let most = series.iter().flatten().copied().fold(1.0, f64::max) * 1.1;
    let minutes = SECONDS as f64 / 60.0;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(6)
        .margin_right(24)
        .x_label_area_size(22)
        .y_label_area_size(46)
        .build_cartesian_2d(-minutes..0.0, 0.0..most)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(6)
        .y_labels(4)
        .x_label_formatter(&|minutes| format!("{:.0} min", minutes.round() + 0.0))
        .y_label_formatter(&|value| {
            if most < 5.0 { format!("{value:.1}") } else { format!("{value:.0}") }
        })
        .label_style(("sans-serif", 12).into_font().color(&AXIS))
        .axis_style(AXIS)
        .bold_line_style(AXIS.mix(0.3))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| failed(&error))?;
    for (values, colour) in series.iter().zip(COLOURS) {
        let first = 1.0 - values.len() as f64;
        let points =
            values.iter().enumerate().map(|(at, value)| ((first + at as f64) / 60.0, *value));
        let line = LineSeries::new(points, colour.stroke_width(2));
        chart.draw_series(line).map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_and_nothing_that_a_strict_policy_forbids() {
        for series in [vec![vec![]], vec![vec![1.0, 2.0, 0.0], vec![4.0; SECONDS]]] {
            let svg = chart(&series);
            assert!(svg.starts_with("<svg") && svg.contains("min"), "{svg}");
            assert!(!svg.contains("style=") && !svg.contains("<script"), "{svg}");
        }
    }
}
