//! From what a route of the configuration says to what the edge's layers find on its requests.

use std::sync::Arc;

use headwater::edge::{FixedAnswer, RoutePolicy};
use headwater::proto::config::answer::Answer;
use headwater::proto::config::route::Route;
use http::{HeaderValue, StatusCode};

use super::super::Error;

/// What a route that is [resolved](headwater::proto::config::Edge::resolved) wants of the layers; `None`
/// where it wants nothing. Reads the files that it names.
pub(super) fn make(config: &Route) -> Result<Option<Arc<RoutePolicy>>, Error> {
    let mut policy = RoutePolicy::default();
    policy.name = config.name.as_deref().map(Into::into);
    policy.answer = config.answer.as_ref().map(answer).transpose()?;
    Ok((!policy.is_empty()).then(|| Arc::new(policy)))
}

fn answer(config: &Answer) -> Result<FixedAnswer, Error> {
    let answer = FixedAnswer::new(StatusCode::from_u16(config.status.unwrap_or_default())?);
    let answer = match &config.location {
        Some(location) => answer.location(location),
        None => answer,
    };
    let content_type = HeaderValue::from_str(&config.content_type)?;
    Ok(match &config.body {
        Some(body) => answer.body(body.clone(), content_type),
        None => answer,
    })
}
