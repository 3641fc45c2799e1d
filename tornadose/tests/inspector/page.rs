//! The page and what it loads.

use crate::samples::served;

#[tornadose_test::test]
async fn the_page_loads_everything_from_its_own_path() {
    let (_rooms, _ticks, app) = served();
    let moved = app.get("/a/inspector").await;
    assert_eq!((moved.status(), &moved.headers()["location"]), (307, &"./inspector/".parse().unwrap()));
    let page = app.get("/a/inspector/").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for directive in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(!text.contains("style=") && !text.contains("<style") && !text.contains("onclick"), "the policy forbids it");
    assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("=\"/"));
    for (path, content_type) in [
        ("tornadose.js", "text/javascript; charset=utf-8"),
        ("inspector.js", "text/javascript; charset=utf-8"),
        ("inspector.css", "text/css; charset=utf-8"),
    ] {
        assert!(text.contains(&format!("\"{path}\"")), "{path}");
        let asset = app.get(format!("/a/inspector/{path}")).await;
        assert_eq!((asset.status(), &asset.headers()["content-type"]), (200, &content_type.parse().unwrap()));
        if path != "tornadose.js" {
            let text = asset.text();
            assert!(!text.contains("innerHTML") && !text.contains("http:") && !text.contains("https:"), "{path}");
        }
    }
}
