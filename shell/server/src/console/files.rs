//! The files of the pages, and the page that a login link opens. They hold no data: anybody may have them.

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use muster_console::Login;
use muster_console::asset::{ASSETS, Asset};

/// The address of a file holds its hash.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

pub(crate) fn mount<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let login = Login.render().expect("nothing in it can fail");
    let router = router.route("/login", get(move || async move { Html(login) }));
    ASSETS.iter().fold(router, |router, asset| {
        router.route(&format!("/assets/{}", asset.name), get(move || async move { file(asset) }))
    })
}

fn file(asset: &'static Asset) -> Response {
    ([(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, FOR_GOOD)], asset.bytes).into_response()
}
