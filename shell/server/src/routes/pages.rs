//! The pages: a plain status page, and the page that a login link opens. Files of ours, nothing built, nothing foreign.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Every file, with the path and the media type it is served as. They hold no data: those come from the API.
const FILES: [(&str, &str, &str); 5] = [
    ("/", HTML, include_str!("../pages/status.html")),
    ("/login", HTML, include_str!("../pages/login.html")),
    ("/assets/status.js", JS, include_str!("../pages/status.js")),
    ("/assets/login.js", JS, include_str!("../pages/login.js")),
    ("/assets/muster.css", CSS, include_str!("../pages/muster.css")),
];

pub(super) fn mount<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    FILES.into_iter().fold(router, |router, (path, media_type, text)| {
        router.route(path, get(move || async move { file(media_type, text) }))
    })
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, media_type)], text).into_response()
}
