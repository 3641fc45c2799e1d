//! Metrics for Prometheus: `cargo run --example prometheus`, then `curl localhost:9000/metrics`. `docs/grafana.json` is a
//! dashboard that shows them.

use std::io;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use salvo::http::HeaderValue;
use salvo::http::header::CONTENT_TYPE;
use salvo::prelude::Response;
use tornadose::prelude::*;

#[store(latest)]
#[derive(Serialize)]
struct Tick(f64);

#[subscriber(sse, ws, store = Tick)]
struct Ticks;

/// `GET /metrics`, in Prometheus' text format.
struct Metrics(PrometheusHandle);

#[handler]
impl Metrics {
    async fn handle(&self, res: &mut Response) {
        self.0.run_upkeep();
        res.render(self.0.render());
        res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    }
}

fn router(store: &Store<Tick>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .push(Router::with_path("ticks").get(Ticks::handler(store)))
        .push(Router::with_path("metrics").get(Metrics(metrics)))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    // Before the first connection: what is counted before that is not seen.
    let metrics = PrometheusBuilder::new().install_recorder().map_err(io::Error::other)?;
    let store = Store::new();
    let router = router(&store, metrics);
    tokio::spawn(async move {
        while store.submit(Tick(rand::random())).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    examples::serve(9000, router, &["curl -N localhost:{port}/ticks", "curl localhost:{port}/metrics"]).await
}

#[cfg(test)]
mod tests {
    use tornadose_test::Harness;

    use super::*;

    #[tornadose_test::test]
    async fn connections_and_deliveries_are_exported() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let store = Store::new();
        let app = Harness::new(router(&store, recorder.handle()));
        let ticks = app.client("ticks").lenient().sse("/ticks").await;
        store.submit(Tick(0.5)).await.unwrap();
        app.settle().await;
        let exported = app.get("/metrics").await;
        assert_eq!(exported.headers()[CONTENT_TYPE], "text/plain; version=0.0.4");
        let lines: Vec<String> = exported.text().lines().map(str::to_owned).collect();
        for line in [
            "tornadose_connections{detached=\"false\"} 1",
            "tornadose_connections_opened_total{transport=\"sse\"} 1",
            "tornadose_submitted_total 1",
            "tornadose_delivered_total 1",
        ] {
            assert!(lines.iter().any(|exported| exported == line), "{line} is not in {lines:#?}");
        }
        ticks.close().await;
    }
}
