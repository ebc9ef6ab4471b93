//! Tries candidates one after the other, without waiting long for any.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;

/// Asks one candidate after the other: the next when one fails, or has not answered for `stagger`.
/// Returns the first success, else the first failure; `None` without candidates.
pub(crate) async fn race<C, T, E, F: Future<Output = Result<T, E>>>(
    candidates: Vec<C>,
    stagger: Duration,
    ask: impl Fn(C) -> F,
) -> Option<Result<T, E>> {
    let mut rest = candidates.into_iter();
    let mut asking: FuturesUnordered<_> = rest.next().map(&ask).into_iter().collect();
    let mut failure = None;
    loop {
        let last = rest.len() == 0;
        tokio::select! {
            done = asking.next() => match done {
                Some(Ok(done)) => return Some(Ok(done)),
                Some(Err(e)) => {
                    failure.get_or_insert(e);
                    asking.extend(rest.next().map(&ask));
                }
                None => return failure.map(Err),
            },
            () = tokio::time::sleep(stagger), if !last => asking.extend(rest.next().map(&ask)),
        }
    }
}
