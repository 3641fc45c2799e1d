//! What a delivery costs the server: 1000 readers, messages of 128 bytes one at a time and in bursts.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use crate::server::Loaded;

const READERS: u64 = 1000;

pub(crate) async fn run() -> io::Result<()> {
    println!(
        "{:<10} {:>6} {:>9} {:>11} {:>13} {:>5}",
        "transport", "burst", "messages", "deliveries", "CPU/delivery", "lost"
    );
    for (transport, websocket) in [("sse", false), ("ws", true)] {
        let mut server = Loaded::start().await?;
        server.read(READERS, websocket).await?;
        for (burst, times) in [(1, 500), (100, 50)] {
            let before = (server.received.load(Relaxed), server.cpu()?);
            let mut lost = 0;
            for _ in 0..times {
                lost += server.submit(burst, READERS).await?;
            }
            let deliveries = server.received.load(Relaxed) - before.0;
            let each = server.cpu()?.saturating_sub(before.1) / u32::try_from(deliveries.max(1)).unwrap_or(u32::MAX);
            println!("{transport:<10} {burst:>6} {:>9} {deliveries:>11} {each:>13.2?} {lost:>5}", burst * times);
        }
        server.stop().await?;
    }
    Ok(())
}
