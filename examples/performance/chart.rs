//! Requests a second over connections, a line a system.

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::{Runs, SYSTEMS};

const SIZE: (u32, u32) = (760, 380);
const COLOURS: [RGBColor; 4] = [
    RGBColor(120, 120, 120),
    RGBColor(200, 120, 40),
    RGBColor(30, 100, 200),
    RGBColor(20, 150, 90),
];

pub(crate) fn draw(runs: &Runs, work: &str) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_into(&mut svg, runs, work).map_err(|error| anyhow!("drawing {work}: {error}"))?;
    Ok(svg)
}

fn draw_into(svg: &mut String, runs: &Runs, work: &str) -> Result<(), Box<dyn std::error::Error>> {
    let connections = runs.connections();
    let line = |system: &str| -> Vec<(f64, f64)> {
        let point = |connections: &u32| {
            let point = runs.point(work, system, *connections)?;
            Some((f64::from(*connections).log2(), point.per_second))
        };
        connections.iter().filter_map(point).collect()
    };
    let most = SYSTEMS.iter().flat_map(|(system, _)| line(system)).map(|(_, y)| y);
    let most = most.fold(1.0, f64::max) * 1.1;
    let last = connections.last().map_or(1.0, |last| f64::from(*last).log2());

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .caption(format!("{work}s a second"), ("sans-serif", 18))
        .build_cartesian_2d(0.0..last, 0.0..most)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(connections.len().max(2) * 2)
        .x_label_formatter(&|x| format!("{:.0}", x.exp2()))
        .x_desc("connections")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for ((system, name), colour) in SYSTEMS.iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(line(system), colour.stroke_width(3)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
