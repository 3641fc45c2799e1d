//! axum by hand: its own SSE and WebSocket over broadcast channels.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::wrappers::BroadcastStream;

use crate::scenario::Transport;
use crate::servers::{Channels, print_ready};

async fn sse(State(channels): State<Arc<Channels>>, uri: Uri) -> impl IntoResponse {
    let events = BroadcastStream::new(channels.subscribe(uri.path()));
    let events = events.filter_map(async |message| {
        let message = message.ok()?;
        Some(Ok::<_, Infallible>(Event::default().data(message)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn ws(State(channels): State<Arc<Channels>>, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    let receiver = channels.subscribe(uri.path());
    upgrade.on_upgrade(|socket| forward(socket, receiver))
}

async fn forward(mut socket: WebSocket, mut receiver: broadcast::Receiver<String>) {
    loop {
        tokio::select! {
            message = receiver.recv() => match message {
                Ok(message) => {
                    if socket.send(Message::text(message)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            from_client = socket.recv() => {
                if !matches!(from_client, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
}

pub(super) async fn serve(transport: Transport) -> io::Result<()> {
    let channels = Arc::new(Channels::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print_ready(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // With Nagle's algorithm the second of two events waits until the client acknowledges the first.
        let _nagle_stays_on = stream.set_nodelay(true);
    });
    let method = match transport {
        Transport::Sse => get(sse),
        Transport::Ws => get(ws),
    };
    let router = Router::new().route("/", method.clone()).route("/{key}", method).with_state(Arc::clone(&channels));
    tokio::spawn(async move { axum::serve(listener, router).await });
    channels.run_commands().await;
    Ok(())
}
