//! Questions about queues and namespaces go in; what comes out is checked against how those were made.

use std::time::{Duration, Instant};

use msgget_trace::{
    enrich::Clock,
    event::{BootTime, Errno},
    resolver::{Answer, HELD, IDLE, Page, Question, Reply, Request, Resolver},
};

use crate::{
    alone,
    common::sys,
    side::{held_namespaces, on_runtime, queue, reply, with_client},
    tenant::{Tenant, create, ipc_ns, remove, set_uids},
};

/// A uid with a queue and nothing else.
const USER: u32 = 1000;

#[test]
fn a_queue_nobody_else_may_read_is_described() {
    alone!(60);
    let tenant = Tenant::new(USER, || vec![create(0x5eed, 0o600)]);
    with_client(async |client| {
        let request = tenant.stat();
        let Answer { age, reply } = client.ask(request).await.unwrap();
        assert!(age <= Duration::from_nanos(Clock::boot_now().since(request.left)));
        let Reply::Queue(queue) = reply else { panic!("{reply:?}") };
        assert_eq!((queue.id, queue.key, queue.mode), (tenant.ids[0], 0x5eed, 0o600));
        assert_eq!((queue.uid, queue.cuid, queue.gid, queue.cgid), (USER, USER, 0, 0));
        assert_eq!((queue.qnum, queue.cbytes, queue.lspid, queue.stime), (0, 0, 0, 0));
        assert!(queue.qbytes > 0 && queue.ctime > 0);

        let left = BootTime(request.left.0 - 5_000_000_000);
        let aged = client.ask(Request { left, ..request }).await.unwrap();
        assert!(aged.age >= Duration::from_secs(5));
    });
}

#[test]
fn a_queue_of_our_own_namespace_is_described() {
    alone!(60);
    sys::enter_new(libc::CLONE_NEWIPC).unwrap();
    let id = create(7, 0o644);
    with_client(async |client| {
        let pid = std::process::id();
        let request = Request { pid, ipc_ns: ipc_ns(pid), left: Clock::boot_now(), question: Question::Stat(id) };
        assert_eq!(queue(&client, request).await.mode, 0o644);
        assert_eq!(held_namespaces(client.pid()), 0);
    });
}

#[test]
fn a_removed_queue_is_gone_even_if_another_has_its_index() {
    alone!(60);
    let tenant = Tenant::new(0, || {
        let first = create(1, 0o600);
        remove(first);
        let successor = loop {
            let id = create(1, 0o600);
            if id & 0x7fff == first & 0x7fff {
                break id;
            }
            remove(id);
        };
        vec![first, successor]
    });
    assert_ne!(tenant.ids[0], tenant.ids[1]);
    with_client(async |client| {
        for never in [tenant.ids[0], 12_345, -1, i32::MAX] {
            assert_eq!(reply(&client, tenant.asks(Question::Stat(never))).await, Reply::Gone);
        }
        let successor = queue(&client, tenant.asks(Question::Stat(tenant.ids[1]))).await;
        assert_eq!(successor.id, tenant.ids[1]);
    });
}

#[test]
fn all_queues_of_a_namespace_are_listed_page_by_page() {
    alone!(60);
    let tenant = Tenant::new(USER, || (1..=70).map(|key| create(key, 0o600)).collect());
    with_client(async |client| {
        let (mut ids, mut pages, mut from) = (Vec::new(), 0, Some(0));
        while let Some(index) = from {
            let Reply::Page(page) = reply(&client, tenant.asks(Question::ListNamespace(index))).await else {
                panic!("not a page")
            };
            ids.extend(page.queues.iter().map(|queue| queue.id));
            (pages, from) = (pages + 1, page.next);
        }
        assert_eq!((ids, pages), (tenant.ids.clone(), 3));
        let beyond = reply(&client, tenant.asks(Question::ListNamespace(u32::MAX))).await;
        assert_eq!(beyond, Reply::Page(Page::default()));
    });
}

#[test]
fn a_remembered_namespace_outlives_its_process_and_no_other_does() {
    alone!(60);
    let queue_of_one = || vec![create(1, 0o600)];
    let (known, unknown) = (Tenant::new(USER, queue_of_one), Tenant::new(USER, queue_of_one));
    with_client(async |client| {
        assert_eq!(reply(&client, known.asks(Question::Remember)).await, Reply::Remembered);
        known.end();
        assert_eq!(queue(&client, known.stat()).await.cuid, USER);
        unknown.kill();
        assert_eq!(reply(&client, unknown.stat()).await, Reply::Gone, "a zombie");
        sys::reap(unknown.pid.cast_signed());
        assert_eq!(reply(&client, unknown.stat()).await, Reply::Gone);
        assert_eq!(reply(&client, unknown.asks(Question::Remember)).await, Reply::Gone);
    });
}

#[test]
fn a_process_in_another_namespace_than_expected_is_not_looked_at() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600)]);
    with_client(async |client| {
        let ipc_ns = tenant.ipc_ns ^ 1;
        let request = Request { ipc_ns, ..tenant.stat() };
        assert_eq!(reply(&client, request).await, Reply::Gone);
        assert_eq!(held_namespaces(client.pid()), 0);
    });
}

#[test]
fn what_may_not_be_opened_is_denied() {
    alone!(60);
    let tenant = Tenant::new(0, || vec![create(1, 0o600)]);
    // The resolver is forked with the effective ids of the moment.
    set_uids(0, USER);
    let resolver = Resolver::fork().unwrap();
    set_uids(0, 0);
    on_runtime(async {
        let client = resolver.client().unwrap();
        let denied = Reply::Denied(Errno::EACCES);
        assert_eq!(reply(&client, tenant.stat()).await, denied);
        assert_eq!(reply(&client, tenant.asks(Question::Remember)).await, denied);
    });
}

#[test]
fn few_namespaces_are_held_and_none_for_long() {
    alone!(120);
    let tenants: Vec<_> = (0..HELD + 6).map(|_| Tenant::new(0, || vec![create(1, 0o600)])).collect();
    with_client(async |client| {
        for tenant in &tenants {
            assert_eq!(reply(&client, tenant.asks(Question::Remember)).await, Reply::Remembered);
        }
        assert_eq!(held_namespaces(client.pid()), HELD);
        tenants.iter().for_each(Tenant::end);
        for (n, tenant) in tenants.iter().enumerate() {
            let gone = reply(&client, tenant.stat()).await == Reply::Gone;
            assert_eq!(gone, n < 6, "the first come are the first to go: {n}");
        }
        tokio::time::sleep(IDLE + Duration::from_secs(1)).await;
        assert_eq!(held_namespaces(client.pid()), 0);
        assert_eq!(ipc_ns(client.pid()), ipc_ns(std::process::id()), "it came home");
        assert_eq!(reply(&client, tenants[HELD].stat()).await, Reply::Gone);
    });
}

#[test]
fn ten_thousand_questions_are_timed() {
    alone!(120);
    const ASKS: usize = 10_000;
    let tenant = Tenant::new(USER, || vec![create(1, 0o600)]);
    with_client(async |client| {
        let home =
            Request { pid: std::process::id(), ipc_ns: ipc_ns(std::process::id()), ..tenant.asks(Question::Stat(0)) };
        let cases = [
            ("Stat, another namespace", tenant.stat()),
            ("Stat, our namespace", home),
            ("Remember, held", tenant.asks(Question::Remember)),
        ];
        for (name, request) in cases {
            let mut took = Vec::with_capacity(ASKS);
            let mut ages = Vec::with_capacity(ASKS);
            for _ in 0..ASKS {
                let start = Instant::now();
                let left = Clock::boot_now();
                let answer = client.ask(Request { left, ..request }).await.unwrap();
                took.push(start.elapsed());
                ages.push(answer.age);
            }
            took.sort();
            ages.sort();
            let us = |times: &[Duration], part: usize| times[ASKS * part / 1000 - 1].as_secs_f64() * 1e6;
            let mean = took.iter().sum::<Duration>().as_secs_f64() * 1e6 / ASKS as f64;
            println!(
                "{name}: {mean:.1} us/ask, median {:.1}, p99 {:.1}, max {:.1}; age median {:.1}",
                us(&took, 500),
                us(&took, 990),
                us(&took, 1000),
                us(&ages, 500)
            );
        }
    });
}
