//! Tornadose, as its users write it.

use std::io;

use tornadose::prelude::*;

use crate::scenario::Transport;
use crate::servers::{Command, KEYS, message, print_ready, spawn_command_reader};

#[store(queue, capacity = 4096)]
#[derive(Serialize)]
struct Load(String);

#[subscriber(sse, ws, store = Load)]
struct Loads;

#[store(queue, capacity = 16)]
#[derive(Serialize)]
struct Note {
    #[key]
    user: u32,
    text: String,
}

#[subscriber(sse, ws, store = Note, authorize = public)]
struct Notes {
    #[key]
    user: u32,
}

pub(super) async fn serve(_: Transport) -> io::Result<()> {
    let (all, keys) = (Store::<Load>::new(), Store::<Note>::new());
    let acceptor = tornadose::listen("127.0.0.1:0").await?;
    let addr = salvo::conn::Acceptor::holdings(&acceptor)[0].local_addr.clone().into_std();
    print_ready(addr.ok_or_else(|| io::Error::other("no address"))?);
    let inspector = tornadose::inspector().store(&all).store(&keys).public();
    let router = Router::new()
        .get(Loads::handler(&all))
        .push(Router::with_path("inspector").push(inspector.router()))
        .push(Router::with_path("{user}").get(Notes::handler(&keys)));
    tokio::spawn(tornadose::serve_on(acceptor, router));
    let mut commands = spawn_command_reader();
    while let Some(command) = commands.recv().await {
        match command {
            Command::SubmitToAll(count) => {
                for _ in 0..count {
                    all.submit(Load(message())).await.map_err(io::Error::other)?;
                }
            }
            Command::SubmitToEachKey => {
                for user in 0..KEYS {
                    keys.submit(Note { user, text: message() }).await.map_err(io::Error::other)?;
                }
            }
        }
    }
    Ok(())
}
