//! The operations of the slot index on the DHT.

use crate::discovery::KeyNews;
use crate::swarm::driver::Swarm;
use crate::swarm::links::Links;
use playswarm_logic::slots::{Input, Key, Operation, Output};
use playswarm_logic::torrent;
use tokio_util::task::AbortOnDropHandle;

impl Swarm {
    /// Starts or cancels an operation.
    pub(super) fn operate(&self, links: &mut Links, output: &Output) {
        match *output {
            Output::Lookup { operation, key } => self.begin_operation(links, operation, key, None),
            Output::Announce { operation, key } => {
                let port = self.transport.listen_addr().port();
                self.begin_operation(links, operation, key, Some(port));
            }
            Output::Cancel(operation) => _ = links.operations.remove(&operation),
            _ => {}
        }
    }

    fn begin_operation(&self, links: &mut Links, operation: Operation, key: Key, announce: Option<u16>) {
        if self.cancel.is_cancelled() {
            return;
        }
        let news = self.shared.key_operation(key.0, announce);
        let this = self.this.clone();
        let task = self.runtime.spawn(async move {
            let mut well = false;
            if let Some(mut news) = news {
                while let Some(news) = news.recv().await {
                    match news {
                        KeyNews::Found(peers) => {
                            let Some(swarm) = this.upgrade() else { return };
                            swarm.tell(torrent::Input::SlotNews(Input::Found(operation, peers)));
                        }
                        KeyNews::Ended(ended) => {
                            well = ended;
                            break;
                        }
                    }
                }
            }
            let Some(swarm) = this.upgrade() else { return };
            let mut ended = None;
            swarm.enter_with(
                |torrent, now| {
                    use playswarm_logic::Machine;
                    torrent.handle(now, torrent::Input::SlotNews(Input::Ended(operation, well)));
                },
                |links, ()| ended = links.operations.remove(&operation),
            );
            // Last: this runs in that task itself.
            drop(ended);
        });
        links.operations.insert(operation, AbortOnDropHandle::new(task));
    }
}
