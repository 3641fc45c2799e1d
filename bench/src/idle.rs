//! What an idle reader takes: the server's resident memory before and after 5000 of them.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::server::{Loaded, connect};

const READERS: u64 = 5000;

pub(crate) async fn run() -> io::Result<()> {
    println!("{:<10} {:>8} {:>12}", "transport", "readers", "each");
    for (transport, websocket) in [("sse", false), ("ws", true)] {
        let server = Loaded::start().await?;
        let before = server.memory()?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(connect(websocket).await?);
        }
        sleep(Duration::from_secs(1)).await;
        let each = (server.memory()? - before) * 1024 / READERS;
        println!("{transport:<10} {READERS:>8} {each:>6} bytes");
        drop(readers);
        server.stop().await?;
    }
    Ok(())
}
