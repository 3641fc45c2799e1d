//! 100 stalled readers beside 900 live ones: whether the live ones are slower for it, and what memory the server takes.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::server::{Loaded, connect};

const LIVE: u64 = 900;
const BURST: u64 = 100;

pub(crate) async fn run(messages: u64) -> io::Result<()> {
    println!(
        "{:<10} {:>8} {:>9} {:>12} {:>12} {:>10} {:>5}",
        "transport", "stalled", "messages", "burst p50", "burst p99", "RSS peak", "lost"
    );
    for (transport, websocket) in [("sse", false), ("ws", true)] {
        for stalled in [0, 100] {
            let mut server = Loaded::start().await?;
            server.read(LIVE, websocket).await?;
            let stalling: Vec<_> = (0..stalled).map(|_| tokio::spawn(stall(websocket))).collect();
            sleep(Duration::from_millis(500)).await;
            let (mut bursts, mut peak, mut lost) = (Vec::new(), 0, 0);
            for _ in 0..messages / BURST {
                let start = Instant::now();
                lost += server.submit(BURST, LIVE).await?;
                bursts.push(start.elapsed());
                peak = peak.max(server.memory()?);
            }
            bursts.sort_unstable();
            let (half, most) = (bursts[bursts.len() / 2], bursts[bursts.len() * 99 / 100]);
            println!("{transport:<10} {stalled:>8} {messages:>9} {half:>12.2?} {most:>12.2?} {peak:>6} KiB {lost:>5}");
            for stall in stalling {
                stall.abort();
            }
            server.stop().await?;
        }
    }
    Ok(())
}

/// A reader that takes nothing, and a new one in its place before it would be aborted.
async fn stall(websocket: bool) -> io::Result<()> {
    loop {
        let stream = connect(websocket).await?;
        sleep(Duration::from_secs(25)).await;
        drop(stream);
    }
}
