//! Draws the tables of `scripts/growth.sh`, all in one picture.

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

const PANEL: (u32, u32) = (400, 240);
const COLUMNS: usize = 2;
const LINE: RGBColor = RGBColor(30, 100, 200);
/// What is drawn where a table has such a column; else its last one is.
const RATE: &str = "A second";
/// A line through fewer points says nothing.
const FEWEST: usize = 3;

/// One table: how something changes with something else.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    title: String,
    of: String,
    what: String,
    points: Vec<(f64, f64)>,
}

/// The tables of a document, each below a heading of its own.
pub(crate) fn parse(markdown: &str) -> anyhow::Result<Vec<Table>> {
    let (_, tables) = markdown.split_once("<!-- growth -->\n").context("there are no tables")?;
    let (tables, _) = tables.split_once("<!-- end of growth -->").context("they have no end")?;
    let tables = tables.split("\n### ").skip(1).map(table).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(tables.into_iter().filter(|table| table.points.len() >= FEWEST).collect())
}

fn table(section: &str) -> anyhow::Result<Table> {
    let (title, rest) = section.split_once('\n').context("a heading without a table")?;
    let mut rows = rest.lines().filter(|line| line.starts_with('|')).map(cells);
    let head = rows.next().with_context(|| format!("no table below {title}"))?;
    let column = head.iter().position(|name| *name == RATE).unwrap_or(head.len() - 1);
    let point = |row: Vec<&str>| -> anyhow::Result<(f64, f64)> {
        let number = |at: usize| row.get(at).and_then(|cell| cell.parse().ok());
        number(0).zip(number(column)).with_context(|| format!("no figures in {row:?} of {title}"))
    };
    // The first is the line below the head.
    let points = rows.skip(1).map(point).collect::<Result<_, _>>()?;
    let (title, of, what) = (title.replace('`', ""), head[0].to_owned(), head[column].to_owned());
    Ok(Table { title, of, what, points })
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

pub(crate) fn draw(tables: &[Table]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_into(&mut svg, tables).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(svg)
}

fn draw_into(svg: &mut String, tables: &[Table]) -> Result<(), Box<dyn std::error::Error>> {
    let rows = tables.len().div_ceil(COLUMNS).max(1);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, table) in area.split_evenly((rows, COLUMNS)).iter().zip(tables) {
        draw_panel(panel, table)?;
    }
    area.present()?;
    Ok(())
}

/// So that what grows by a factor from row to row is drawn in steps of one width.
#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Doubling,
    Tenfold,
}

impl Scale {
    fn of(table: &Table) -> Self {
        let first = table.points.iter().map(|(x, _)| *x).fold(f64::MAX, f64::min);
        let last = table.points.iter().map(|(x, _)| *x).fold(f64::MIN, f64::max);
        match last / first {
            _ if first <= 0.0 => Self::Linear,
            growth if growth < 100.0 => Self::Doubling,
            _ => Self::Tenfold,
        }
    }

    fn place(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Doubling => x.log2(),
            Self::Tenfold => x.log10(),
        }
    }

    fn at(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Doubling => place.exp2(),
            Self::Tenfold => 10_f64.powf(place),
        }
    }
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    table: &Table,
) -> Result<(), Box<dyn std::error::Error>> {
    let scale = Scale::of(table);
    let place = |x: f64| scale.place(x);
    let points = table.points.iter().map(|(x, y)| (place(*x), *y));
    let (first, last) = points
        .clone()
        .fold((f64::MAX, f64::MIN), |(first, last), (x, _)| (first.min(x), last.max(x)));
    let most = points.clone().map(|(_, y)| y).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .x_label_area_size(34)
        .y_label_area_size(62)
        .caption(&table.title, ("sans-serif", 13))
        .build_cartesian_2d(first..last, 0.0..most)?;
    let label = |x: &f64| format!("{:.0}", scale.at(*x));
    // No more than there are whole steps, so that each stands at one.
    let labels = ((last - first).round() as usize + 1).min(7);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(labels)
        .x_label_formatter(&label)
        .x_desc(&table.of)
        .y_labels(5)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .y_desc(&table.what)
        .draw()?;
    chart.draw_series(LineSeries::new(points.clone(), LINE.stroke_width(2)))?;
    chart.draw_series(points.map(|point| Circle::new(point, 3, LINE.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Before\n\n| a |\n\n<!-- growth -->\n\nWords.\n\n### Writes, by slaves\n\n\
        | Slaves | A second | p50 ms |\n|--:|--:|--:|\n| 1 | 90 | 2.5 |\n| 2 | 80 | 3 |\n| 4 | 50 | 4 |\n\n\
        ### Too few\n\n| a | b |\n|--:|--:|\n| 1 | 2 |\n\n<!-- end of growth -->\n\n### After\n";

    #[test]
    fn tables_between_the_marks_are_read_by_the_column_that_matters() {
        let points = vec![(1.0, 90.0), (2.0, 80.0), (4.0, 50.0)];
        let (title, of) = ("Writes, by slaves".to_owned(), "Slaves".to_owned());
        let expected = Table { title, of, what: RATE.to_owned(), points };
        assert_eq!(parse(DOCUMENT).unwrap(), [expected]);
        assert!(draw(&parse(DOCUMENT).unwrap()).unwrap().contains("Writes, by slaves"));
        assert!(parse(&DOCUMENT.replace("| 80 |", "| many |")).is_err());
        assert!(parse("nothing").is_err());
    }
}
