//! A call that was handed a queue goes in; whose that queue is comes out, where the hooks did not say so: the resolver is
//! asked, and what it says is marked with its age. The creator may also tell what an ambiguous call did.

use crate::{
    event::{Call, Outcome, Queue},
    resolver::{Client, Question, Reply, Request, Resolver, ResolverError},
};

/// Asks the resolver, if there is one.
#[derive(Debug)]
pub struct Owners(Option<Client>);

impl Owners {
    /// Starts the resolver, inside the runtime and before there are threads. Without it the daemon knows less, and says so.
    #[must_use]
    pub fn start() -> Self {
        match Resolver::fork().and_then(Resolver::client) {
            Ok(client) => Self(Some(client)),
            Err(error) => {
                log::warn!("no resolver could be started ({error}): of existing queues the owner may be unknown");
                Self(None)
            }
        }
    }

    /// True for a call whose queue's owner only the resolver can tell.
    #[must_use]
    pub fn wanted(call: &Call) -> bool {
        call.queue.is_none() && matches!(call.outcome, Outcome::Opened | Outcome::Ambiguous) && !call.witness
    }

    /// Completes `call` by whose queue it was handed.
    pub async fn ask(&self, call: &mut Call) {
        if let Some(queue) = self.of(call).await {
            call.settle(queue.cuid, queue.cgid);
            if call.outcome != Outcome::Created {
                call.queue = Some(queue);
            }
        }
    }

    /// Whose queue `call` was handed.
    async fn of(&self, call: &Call) -> Option<Queue> {
        let client = self.0.as_ref()?;
        let question = Question::Stat(i32::try_from(call.result).ok()?);
        // The thread, not the process: each may have a namespace of its own.
        let request = Request { pid: call.caller.host.tid, ipc_ns: call.caller.ipc_ns?, left: call.left, question };
        match client.ask(request).await {
            Ok(answer) => match answer.reply {
                Reply::Queue(queue) => Some(Queue {
                    uid: queue.uid,
                    gid: queue.gid,
                    cuid: queue.cuid,
                    cgid: queue.cgid,
                    mode: queue.mode,
                    age: u64::try_from(answer.age.as_nanos()).ok(),
                }),
                Reply::Page(_) | Reply::Remembered | Reply::Gone | Reply::Denied(_) | Reply::Busy => None,
            },
            Err(error @ ResolverError::Died) => {
                log::warn!("{error}");
                None
            }
            Err(ResolverError::Late(_) | ResolverError::Busy | ResolverError::Absent) => None,
        }
    }
}
