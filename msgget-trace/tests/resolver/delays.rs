//! A resolver that is killed, stopped or asked by many goes in; what comes out in time is an answer or the reason for
//! none.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use msgget_trace::resolver::{Answer, DEADLINE, OUTSTANDING, Question, Queue, Reply, ResolverError};

use crate::{
    alone,
    side::{exists, queue, signal, stop, with_client, with_client_within},
    tenant::{Tenant, create},
};

/// Far below every deadline, far above what a busy machine takes for nothing.
const AT_ONCE: Duration = Duration::from_millis(50);

#[test]
fn a_killed_resolver_is_reported_once_and_never_waited_for() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600)]);
    with_client(async |client| {
        assert_eq!(queue(&client, tenant.stat()).await.key, 1);
        signal(&client, libc::SIGKILL);
        let start = Instant::now();
        assert_eq!(client.ask(tenant.stat()).await, Err(ResolverError::Died));
        for _ in 0..1000 {
            assert_eq!(client.ask(tenant.stat()).await, Err(ResolverError::Absent));
        }
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        let pid = client.pid();
        drop(client);
        assert!(!exists(pid), "not even a zombie");
    });
}

#[test]
fn a_death_while_waiting_ends_the_waiting() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600)]);
    with_client(async |client| {
        stop(&client);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            signal(&client, libc::SIGKILL);
        };
        let start = Instant::now();
        let (first, second, ()) = tokio::join!(client.ask(tenant.stat()), client.ask(tenant.stat()), kill);
        assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
        let mut said = [first.unwrap_err(), second.unwrap_err()];
        said.sort_by_key(|error| *error == ResolverError::Absent);
        assert_eq!(said, [ResolverError::Died, ResolverError::Absent]);
    });
}

#[test]
fn a_stopped_resolver_costs_one_deadline_and_its_late_answer_is_discarded() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600), create(2, 0o600)]);
    with_client(async |client| {
        stop(&client);
        let start = Instant::now();
        assert_eq!(client.ask(tenant.stat()).await, Err(ResolverError::Late(DEADLINE)));
        let waited = start.elapsed();
        assert!((DEADLINE..DEADLINE + AT_ONCE).contains(&waited), "{waited:?}");
        let start = Instant::now();
        assert_eq!(client.ask(tenant.stat()).await, Err(ResolverError::Busy));
        assert!(start.elapsed() < AT_ONCE);
        signal(&client, libc::SIGCONT);
        let next = loop {
            match client.ask(tenant.asks(Question::Stat(tenant.ids[1]))).await {
                Err(ResolverError::Busy) => tokio::time::sleep(Duration::from_millis(1)).await,
                answer => break answer.unwrap().reply,
            }
        };
        assert!(matches!(next, Reply::Queue(Queue { key: 2, .. })), "{next:?}");
    });
}

#[test]
fn a_cancelled_question_confuses_no_later_one() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600), create(2, 0o600)]);
    with_client(async |client| {
        for _ in 0..200 {
            tokio::select! {
                biased;
                early = client.ask(tenant.stat()) => panic!("{early:?}"),
                () = std::future::ready(()) => {}
            }
            let second = tenant.asks(Question::Stat(tenant.ids[1]));
            assert_eq!(queue(&client, second).await.key, 2);
        }
    });
}

#[test]
fn many_may_ask_at_once_up_to_a_bound() {
    alone!(60);
    let tenant = Tenant::new(0, || (1..=80).map(|key| create(key, 0o600)).collect());
    let deadline = Duration::from_secs(8);
    with_client_within(deadline, async |client| {
        let (client, tenant) = (Rc::new(client), Rc::new(tenant));
        let all = async || {
            let tasks = tokio::task::LocalSet::new();
            let ask = |id: i32| {
                let (client, request) = (Rc::clone(&client), tenant.asks(Question::Stat(id)));
                tasks.spawn_local(async move { client.ask(request).await })
            };
            let asked: Vec<_> = tenant.ids.iter().map(|id| ask(*id)).collect();
            tasks.await;
            let mut said = Vec::new();
            for task in asked {
                said.push(task.await.unwrap());
            }
            said
        };
        let count = |said: &[Result<Answer, ResolverError>], error| said.iter().filter(|it| **it == Err(error)).count();

        let said = all().await;
        let busy = count(&said, ResolverError::Busy);
        assert!(busy <= 80 - OUTSTANDING, "{busy}");
        for (answer, id) in said.iter().zip(&tenant.ids) {
            match answer {
                Ok(answer) => assert!(matches!(&answer.reply, Reply::Queue(queue) if queue.id == *id)),
                Err(error) => assert_eq!(*error, ResolverError::Busy),
            }
        }
        stop(&client);
        let said = all().await;
        assert_eq!(count(&said, ResolverError::Late(deadline)), OUTSTANDING);
        assert_eq!(count(&said, ResolverError::Busy), 80 - OUTSTANDING);
    });
}
