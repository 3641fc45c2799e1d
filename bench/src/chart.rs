//! The table as an SVG: one bar per row, its ratio to the floor on a logarithmic axis.

use std::io;
use std::path::Path;

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoFont, IntoLogRange, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};

use crate::figure::{Measurement, Plan, median, select};
use crate::scenario::Scenario;
use crate::servers::ServerKind;

const COLOURS: [RGBColor; 4] =
    [RGBColor(160, 160, 160), RGBColor(214, 120, 60), RGBColor(90, 130, 200), RGBColor(60, 150, 90)];

struct Bar {
    label: String,
    server: ServerKind,
    ratio: f64,
}

pub(crate) fn draw(path: &Path, plan: &Plan, measurements: &[Measurement]) -> io::Result<()> {
    let mut bars = Vec::new();
    for &scenario in plan.scenarios.iter().filter(|scenario| **scenario != Scenario::Idle) {
        for &transport in &plan.transports {
            for &server in &plan.servers {
                let rounds = select(measurements, scenario, transport, server);
                let ratio = median(rounds.filter_map(|round| round.ratio));
                let label = format!("{} {} – {}", scenario.name(), transport.name(), server.name());
                bars.push(Bar { label, server, ratio });
            }
        }
    }
    plot(path, &bars).map_err(|error| io::Error::other(error.to_string()))
}

fn plot(path: &Path, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    let (Ok(rows), Ok(height)) = (i32::try_from(bars.len()), u32::try_from(80 + 16 * bars.len())) else {
        return Ok(());
    };
    let ratio_max = bars.iter().map(|bar| bar.ratio).filter(|ratio| ratio.is_finite()).fold(2.0, f64::max);
    let area = SVGBackend::new(path, (900, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Server CPU per delivery, as a multiple of the floor's", ("sans-serif", 16))
        .x_label_area_size(30)
        .margin(10)
        .margin_left(260)
        .build_cartesian_2d((0.5..ratio_max * 1.5).log_scale(), rows..0)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_desc("times the floor (logarithmic)").draw()?;
    for (row, bar) in (0..).zip(bars) {
        let colour = COLOURS[bar.server as usize % COLOURS.len()];
        chart.draw_series([Rectangle::new([(0.5, row), (bar.ratio, row + 1)], colour.filled())])?;
        let style = ("sans-serif", 11).into_font().color(&BLACK);
        chart.draw_series([Text::new(format!("{:.2}", bar.ratio), (bar.ratio * 1.03, row), style.clone())])?;
        let (_, y) = chart.backend_coord(&(0.5, row));
        area.draw(&Text::new(bar.label.clone(), (12, y), style))?;
    }
    area.present()?;
    Ok(())
}
