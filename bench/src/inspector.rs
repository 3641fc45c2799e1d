//! The cost of an open page of the inspector to its server, beside the deliveries. Valgrind counts instructions, so the result does
//! not depend on a clock or on the load of the machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::figure::to_f64;
use crate::guard::parse_total;
use crate::scenario::{Transport, Workload};
use crate::servers::ServerKind;
use crate::under_load::ServerUnderLoad;

const READERS: u64 = 1000;

/// How many messages are submitted, one a second, so that each look of the page sees something new.
const MESSAGES: u64 = 12;

/// The instructions of one delivery, one at a time, as the guard has recorded them.
const DELIVERY: f64 = 1086.0;

/// The share of the deliveries that an open page may take.
const SHARE: f64 = 0.01;

/// Prints what a look of an open page takes, once a second, and from which rate on it is less than its share.
pub(crate) fn run() -> io::Result<()> {
    println!("instructions in user space, {READERS} readers, one page of the inspector");
    for transport in Transport::ALL {
        let (without, _) = count_instructions(transport, false)?;
        let (with, looks) = count_instructions(transport, true)?;
        if looks == 0 {
            return Err(io::Error::other("the page was told nothing"));
        }
        let look = to_f64(with.saturating_sub(without)) / to_f64(looks);
        let rate = look / (DELIVERY * SHARE);
        println!(
            "{:<4} {looks} looks, {look:.0} instructions each: at most {} % of the deliveries from {rate:.0} a second on",
            transport.name(),
            SHARE * 100.0
        );
    }
    Ok(())
}

/// Returns the instructions of a server, from its start to its end, and how often its page was told of the stores.
fn count_instructions(transport: Transport, has_page: bool) -> io::Result<(u64, u64)> {
    let profile = std::env::temp_dir().join(format!("tornadose-inspector-{}.callgrind", std::process::id()));
    let tool = ["valgrind", "--quiet", "--tool=callgrind", &format!("--callgrind-out-file={}", profile.display())];
    let workload = Workload { readers: READERS, stalled: 0, keyed: false, burst: 1, bursts: MESSAGES };
    let mut under_load = ServerUnderLoad::start_under(&tool, ServerKind::Tornadose, transport, 1, workload)?;
    let page = if has_page { Some(open_page(under_load.port)?) } else { None };
    for _ in 0..MESSAGES {
        let lost = under_load.submit(workload)?;
        if lost > 0 {
            return Err(io::Error::other(format!("{lost} deliveries were lost")));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let looks = page.map_or(0, |looks| looks.load(Ordering::Relaxed));
    under_load.finish()?;
    let total = parse_total(&std::fs::read_to_string(&profile)?);
    remove(&profile);
    Ok((total?, looks))
}

/// Opens the stream of a page, which a thread reads. Returns how often it was told of the stores.
fn open_page(port: u16) -> io::Result<Arc<AtomicU64>> {
    let mut page = TcpStream::connect(("127.0.0.1", port))?;
    page.write_all(b"GET /inspector/events HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while let Ok(length @ 1..) = page.read(&mut buffer) {
            text.extend_from_slice(&buffer[..length]);
            let reports = String::from_utf8_lossy(&text).matches("event: stores").count();
            counted.store(reports as u64, Ordering::Relaxed);
        }
    });
    Ok(looks)
}

fn remove(profile: &Path) {
    // It is a temporary file: one that cannot be removed is left to the system.
    let _left = std::fs::remove_file(profile);
}
