//! Runs a plan: measures every server in turn, then prints, saves and draws the measurements.

use std::io;
use std::time::Instant;

use crate::figure::{Measurement, Plan, to_f64};
use crate::process::readers_max;
use crate::scenario::{Scenario, Transport};
use crate::servers::ServerKind;
use crate::under_load::ServerUnderLoad;
use crate::{chart, report};

pub(crate) fn run(plan: &Plan) -> io::Result<()> {
    let mut measurements: Vec<Measurement> = Vec::new();
    let steps = plan.rounds * plan.scenarios.len() * plan.transports.len();
    let mut done = 0;
    for round in 0..plan.rounds {
        for &scenario in &plan.scenarios {
            for &transport in &plan.transports {
                eprint!("\r\x1b[K{done} of {steps}: {}, {}", scenario.name(), transport.name());
                done += 1;
                measure_servers(plan, round, scenario, transport, &mut measurements)?;
                // Written after every step: a run takes long and may be interrupted.
                if let Some(path) = &plan.json {
                    std::fs::write(path, serde_json::to_string_pretty(&measurements)?)?;
                }
            }
        }
    }
    eprintln!("\r\x1b[K");
    report::print(plan, &measurements);
    if let Some(path) = &plan.chart {
        chart::draw(path, plan, &measurements)?;
    }
    Ok(())
}

/// Measures every server once. The first one is the floor, which the others' ratios refer to.
fn measure_servers(
    plan: &Plan,
    round: usize,
    scenario: Scenario,
    transport: Transport,
    measurements: &mut Vec<Measurement>,
) -> io::Result<()> {
    let mut floor = None;
    for &server in &plan.servers {
        let mut measurement = measure(plan, round, scenario, transport, server)?;
        let floor = *floor.get_or_insert(measurement.cpu);
        measurement.ratio = Some(measurement.cpu / floor).filter(|ratio| ratio.is_finite());
        measurements.push(measurement);
    }
    Ok(())
}

fn measure(
    plan: &Plan,
    round: usize,
    scenario: Scenario,
    transport: Transport,
    server: ServerKind,
) -> io::Result<Measurement> {
    let mut workload = scenario.workload();
    workload.readers = workload.readers.min(readers_max());
    let mut under_load = ServerUnderLoad::start(server, transport, plan.threads, workload)?;
    let memory = (scenario == Scenario::Idle)
        .then(|| under_load.server.memory())
        .transpose()?
        .map(|after| after.saturating_sub(under_load.memory_before) * 1024 / workload.readers);
    let bursts = if plan.quick { workload.bursts.div_ceil(10) } else { workload.bursts };
    let mut lost = 0;
    let warm_up = bursts.div_ceil(10);
    for _ in 0..warm_up {
        lost += under_load.submit(workload)?;
    }
    under_load.take_latency()?;
    let (cpu, start) = (under_load.server.cpu()?, Instant::now());
    for _ in 0..bursts {
        lost += under_load.submit(workload)?;
    }
    let cpu = under_load.server.cpu()?.saturating_sub(cpu).as_secs_f64();
    let wall = start.elapsed().as_secs_f64();
    let (p50, p99) = under_load.take_latency()?;
    let deliveries = workload.deliveries() * bursts;
    let count = to_f64(deliveries);
    Ok(Measurement {
        round,
        scenario,
        transport,
        server,
        readers: workload.readers,
        deliveries,
        lost,
        cpu: cpu * 1e9 / count,
        ratio: None,
        per_second: count / wall,
        per_core: count / cpu,
        p50,
        p99,
        memory,
    })
}
