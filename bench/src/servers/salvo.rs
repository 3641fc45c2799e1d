//! Salvo by hand: its own SSE and WebSocket over broadcast channels.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use salvo::http::StatusError;
use salvo::sse::{SseEvent, SseKeepAlive};
use salvo::websocket::{Message, WebSocket, WebSocketUpgrade};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::wrappers::BroadcastStream;

use crate::scenario::Transport;
use crate::servers::{Channels, print_ready};

struct Sse(Arc<Channels>);

#[async_trait]
impl Handler for Sse {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let events = BroadcastStream::new(self.0.subscribe(req.uri().path()));
        let events = events.filter_map(async |message| {
            let message = message.ok()?;
            Some(Ok::<_, Infallible>(SseEvent::default().text(message)))
        });
        SseKeepAlive::new(events).stream(res);
    }
}

struct Ws(Arc<Channels>);

#[async_trait]
impl Handler for Ws {
    async fn handle(&self, req: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let receiver = self.0.subscribe(req.uri().path());
        let upgraded: Result<(), StatusError> =
            WebSocketUpgrade::new().upgrade(req, res, |socket| forward(socket, receiver)).await;
        if let Err(error) = upgraded {
            res.render(error);
        }
    }
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
    let acceptor = tornadose::listen("127.0.0.1:0").await?;
    let addr = salvo::conn::Acceptor::holdings(&acceptor)[0].local_addr.clone().into_std();
    print_ready(addr.ok_or_else(|| io::Error::other("no address"))?);
    let router = Router::with_path("{**path}");
    let router = match transport {
        Transport::Sse => router.get(Sse(Arc::clone(&channels))),
        Transport::Ws => router.get(Ws(Arc::clone(&channels))),
    };
    tokio::spawn(Server::new(acceptor).serve(router));
    channels.run_commands().await;
    Ok(())
}
