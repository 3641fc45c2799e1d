//! Fields of types that the macros do not know: private ones, `Self`, and types of a `macro_rules!`.
#![deny(warnings)]

use std::marker::PhantomData;
use std::sync::Arc;

use tornadose::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Symbol(String);

#[derive(Serialize)]
struct Depth(u8);

#[store(latest)]
#[derive(Serialize)]
pub struct Node {
    #[key]
    symbol: Symbol,
    depth: Depth,
    children: Vec<Self>,
    next: Option<Box<Self>>,
}

#[subscriber(sse, store = Node, authorize = public)]
pub struct Nodes {
    #[key]
    symbol: Symbol,
    #[query]
    others: Vec<Symbol>,
    #[depot]
    marker: PhantomData<Self>,
}

macro_rules! event {
    ($name:ident, $content:ty) => {
        #[store(queue)]
        #[derive(Serialize)]
        enum $name {
            Opened {
                #[key]
                symbol: Symbol,
                content: $content,
            },
            Closed {
                #[key]
                symbol: Symbol,
            },
        }
    };
}

event!(Change, Vec<Depth>);

pub fn main() {
    #[derive(Serialize)]
    struct Local(Vec<Option<Symbol>>);

    #[store(queue)]
    #[derive(Serialize)]
    struct Locals(Local);

    #[subscriber(ws, store = Locals)]
    struct LocalFeed {
        #[depot("local")]
        local: Arc<Local>,
    }

    let symbol = || Symbol("A".into());
    let node = Node { symbol: symbol(), depth: Depth(1), children: Vec::new(), next: None };
    assert_eq!(node.key().symbol, symbol());
    assert_eq!(
        Change::Closed { symbol: symbol() }.key(),
        Change::Opened { symbol: symbol(), content: vec![Depth(2)] }.key()
    );

    let nodes = Nodes { symbol: symbol(), others: Vec::new(), marker: PhantomData };
    assert!(nodes.others.is_empty() && nodes.keys() == Keys::One(NodeKey { symbol: symbol() }));
    let _ = nodes.marker;

    let feed = LocalFeed { local: Arc::new(Local(Vec::new())) };
    assert!(feed.local.0.is_empty());
    assert!(Store::new().try_submit(Locals(Local(Vec::new()))).is_ok());
    let _ = Router::with_path("{symbol}")
        .get(Nodes::handler(&Store::new()))
        .push(Router::new().get(LocalFeed::handler(&Store::new())));
}
