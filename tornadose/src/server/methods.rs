//! Leads requests with the methods HEAD and OPTIONS to the handlers of this library, whose routes users add by `get`.
//! Salvo routes by method, so that such a request would be answered with 405 before a handler sees it.

use std::sync::Arc;

use salvo::http::Method;
use salvo::routing::{Filter, FilterInfo, filters};
use salvo::{Handler, Router, Service};

/// Adds HEAD and OPTIONS to the routes of GET that lead to a handler of this library. A router that the program shares
/// with others is left as it is.
pub(super) fn add_methods(service: &mut Service) {
    if let Some(router) = Arc::get_mut(&mut service.router) {
        add_to_router(router);
    }
}

fn add_to_router(router: &mut Router) {
    // A route that the program has added itself for one of these methods is not overridden.
    let is_free =
        !router.routers.iter().any(|route| has_method(route, &Method::HEAD) || has_method(route, &Method::OPTIONS));
    for route in &mut router.routers {
        if is_free && route.goal.as_ref().is_some_and(|goal| is_ours(&**goal)) {
            for filter in &mut route.filters {
                if is_method(&**filter, &Method::GET) {
                    *filter = Box::new(filters::get().or(filters::head()).or(filters::options()));
                }
            }
        }
        add_to_router(route);
    }
}

fn has_method(route: &Router, method: &Method) -> bool {
    route.filters.iter().any(|filter| is_method(&**filter, method))
}

fn is_method(filter: &dyn Filter, method: &Method) -> bool {
    matches!(filter.info(), FilterInfo::Method(found) if found == *method)
}

/// Returns whether this library has the handler's type.
fn is_ours(goal: &dyn Handler) -> bool {
    goal.type_name().starts_with(concat!(env!("CARGO_CRATE_NAME"), "::"))
}
