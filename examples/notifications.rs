//! Notifications for each user: `cargo run --example notifications`, then `curl -N -b session=7 localhost:9000/inbox` and
//! `http post localhost:9000/inbox/7 title=Hello`.

use salvo::http::StatusCode;
use salvo::writing::Text;
use schemars::JsonSchema;
use tornadose::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
struct UserId(u64);

#[store(queue, capacity = 500, schema)]
#[derive(Serialize, JsonSchema)]
struct Notification {
    #[key]
    user: UserId,
    title: String,
}

/// `GET /inbox`. The user comes from `login`, never from the request itself.
#[subscriber(sse, store = Notification, replay = 5, retry = "2s", authorize = Self::not_banned, schema)]
struct Inbox {
    #[key]
    #[depot]
    user: UserId,
}

impl Inbox {
    async fn not_banned(&self) -> Result<(), StatusError> {
        if self.user == UserId(13) { Err(StatusError::forbidden().brief("you are banned")) } else { Ok(()) }
    }
}

/// Replaces a real login: `cookie: session=7` is user 7.
#[handler]
async fn login(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    if let Some(id) = req.cookie("session").and_then(|session| session.value().parse().ok()) {
        depot.insert_typed(UserId(id));
    } else {
        res.status_code(StatusCode::UNAUTHORIZED);
        res.render("log in first: `cookie: session=ID`\n");
        ctrl.skip_rest();
    }
}

/// `POST /inbox/{user}` with `{"title":"Hello"}`. Replaces the service that sends notifications.
struct Notify(Store<Notification>);

#[derive(Deserialize)]
struct Notice {
    title: String,
}

#[handler]
impl Notify {
    async fn handle(&self, req: &mut Request) -> Result<(StatusCode, String), (StatusCode, String)> {
        let bad_request = |reason: String| (StatusCode::BAD_REQUEST, reason);
        let user =
            req.param("user").map(UserId).ok_or_else(|| bad_request("the user is a number: `/inbox/7`\n".into()))?;
        let Notice { title } = req.parse_json().await.map_err(|error| {
            bad_request(format!("expected `content-type: application/json` and {{\"title\":\"…\"}}: {error}\n"))
        })?;
        match self.0.submit(Notification { user, title }).await {
            Ok(id) => Ok((StatusCode::CREATED, format!("{id}\n"))),
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
        }
    }
}

#[handler]
async fn page() -> Text<&'static str> {
    Text::Html(include_str!("notifications/page.html"))
}

fn router(store: &Store<Notification>) -> Router {
    Router::new()
        .get(page)
        .push(Router::with_path("tornadose.js").get(tornadose::script()))
        .push(Router::with_path("inbox").hoop(login).get(Inbox::handler(store)))
        .push(Router::with_path("inbox/{user}").post(Notify(store.clone())))
        // A debug build shows it to who sits at this machine.
        .push(Router::with_path("inspector").push(tornadose::inspector().store(store).router()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hints = [
        "open http://localhost:{port}, or curl -N -b session=7 localhost:{port}/inbox",
        "open http://localhost:{port}/inspector to see who reads",
        r#"curl --json '{"title":"Hello"}' localhost:{port}/inbox/7"#,
        "http post localhost:{port}/inbox/7 title=Hello",
    ];
    examples::serve(9000, router(&Store::new()), &hints).await
}

#[cfg(test)]
#[path = "notifications/tests.rs"]
mod tests;
