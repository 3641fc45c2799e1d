//! The configurations of `docs/deploy.md`: each is taken from the page and started in front of a server of this
//! library. The tests are marked as ignored, because they take time and need the proxies. `./test --long` runs them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "proxies/app.rs"]
mod app;
#[path = "proxies/checks.rs"]
mod checks;
#[path = "proxies/client.rs"]
mod client;
#[path = "proxies/proxy.rs"]
mod proxy;
#[path = "proxies/reload.rs"]
mod reload;

use std::time::Duration;

use app::App;
use checks::{Leaving, check_all, deploy_one_of_two, refused_handshake};
use proxy::{APACHE, CADDY, HAPROXY, NGINX, Proxy, snippet, variant};
use reload::{check_reload, reloads_until_nothing_is_served};

/// The proxy cuts a silent stream after this time in all tests. The page has 60 s.
const PROXY_TIMEOUT: &str = "3s";

/// The proxy cuts the streams of before a reload after this time in all tests. The page has 2 h.
const HARD_STOP: Duration = Duration::from_secs(8);

#[test]
fn the_page_has_a_configuration_of_each_proxy() {
    for kind in [NGINX, HAPROXY, CADDY, APACHE] {
        let text = snippet(kind.language);
        for written in kind.replaced {
            assert!(text.contains(written), "{}: `{written}` is not in the configuration", kind.program);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx: ./test --long"]
async fn nginx_keeps_the_promises_of_the_page() {
    check_all(NGINX, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy: ./test --long"]
async fn haproxy_keeps_the_promises_of_the_page() {
    check_all(HAPROXY, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs caddy: ./test --long"]
async fn caddy_keeps_the_promises_of_the_page() {
    check_all(CADDY, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs apache2: ./test --long"]
async fn apache_keeps_the_promises_of_the_page() {
    check_all(APACHE, Leaving::AtTheNextKeepAlives).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx: ./test --long"]
async fn streams_outlive_a_reload_of_nginx() {
    check_reload(NGINX, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy: ./test --long"]
async fn streams_outlive_a_reload_of_haproxy() {
    check_reload(HAPROXY, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs caddy: ./test --long"]
async fn server_sent_events_outlive_a_reload_of_caddy() {
    check_reload(CADDY, Leaving::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs apache2: ./test --long"]
async fn streams_outlive_a_reload_of_apache() {
    check_reload(APACHE, Leaving::AtTheNextKeepAlives).await;
}

/// Old processes keep their places among the 16 of `ServerLimit`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs apache2: ./test --long"]
async fn apache_serves_nothing_after_16_reloads_with_a_stream_each() {
    if let Some(streams) = reloads_until_nothing_is_served(APACHE, 20).await {
        assert_eq!(streams, 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy: ./test --long"]
async fn a_deploy_of_one_of_two_servers_fails_no_request() {
    deploy_one_of_two(HAPROXY, &variant(HAPROXY.language)).await;
}

/// The usual mistakes. Each refusal names its remedy.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and apache2: ./test --long"]
async fn a_proxy_that_changes_a_handshake_is_named_in_the_refusal() {
    let host = "let it pass the header `host` of the browser";
    for (kind, line, status, remedy) in [
        (NGINX, "proxy_set_header Host $http_host;", 403, host),
        (APACHE, "ProxyPreserveHost On", 403, host),
        (NGINX, "proxy_set_header Upgrade $http_upgrade;", 426, "without `upgrade: websocket`"),
        (NGINX, "proxy_set_header Connection $connection_upgrade;", 426, "without `connection: upgrade`"),
        (NGINX, "proxy_http_version 1.1;", 426, "not arrived over HTTP/1.1"),
    ] {
        let app = App::start().await;
        let text = snippet(kind.language);
        assert!(text.contains(line), "`{line}`");
        let Some(proxy) = Proxy::start(kind, &text.replace(line, ""), app.port()).await else { continue };
        let refused = refused_handshake(&proxy).await;
        assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")) && refused.contains(remedy), "{line}: {refused}");
    }
}
