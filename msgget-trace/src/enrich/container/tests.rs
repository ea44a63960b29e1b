//! Paths as real hosts have them go in, and paths that only look like it.

use proptest::prelude::*;

use super::*;

/// Ids that stand out in the table below.
const A: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafa0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const B: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfb0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
const UID: &str = "1c8b5a6e-7f3d-4e2a-9b0c-5d6e7f8a9b0c";
const STATIC: &str = "0123456789abcdef0123456789abcdef";

/// A path with the ids put in for `A`, `B`, `U` (uid), `_` (uid as systemd has it) and `S` between braces.
fn path(template: &str) -> String {
    template
        .replace("{A}", A)
        .replace("{B}", B)
        .replace("{U}", UID)
        .replace("{_}", &UID.replace('-', "_"))
        .replace("{S}", STATIC)
}

fn container(template: &str) -> Option<Container> {
    Container::from_path(path(template).as_bytes())
}

#[test]
fn recognises_what_the_runtimes_make() {
    use {Runtime::*, Source::*};
    let table = [
        // Docker: systemd, cgroupfs, with --cgroup-parent, inside a container with systemd, rootless.
        ("/system.slice/docker-{A}.scope", Docker, Unit, None),
        ("/docker/{A}", Docker, Parent, None),
        ("/docker/{A}/init.scope", Docker, Parent, None),
        ("docker/{A}", Docker, Parent, None),
        ("/../../docker/{A}", Docker, Parent, None),
        ("/batch/jobs/{A}", Unknown, Bare, None),
        ("/docker/{A}/system.slice/cron.service", Docker, Parent, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope", Docker, Unit, None),
        ("/system.slice:docker:{A}", Docker, Triple, None),
        // Amazon ECS.
        ("/ecs/0123456789abcdef0123456789abcdef/{A}", Docker, Parent, None),
        ("/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-{A}.scope", Docker, Unit, None),
        // Kubernetes: three classes, two drivers, three runtimes.
        ("/kubepods/besteffort/pod{U}/{A}", Unknown, Parent, Some(UID)),
        ("/kubepods/burstable/pod{U}/{A}", Unknown, Parent, Some(UID)),
        ("/kubepods/pod{U}/{A}", Unknown, Parent, Some(UID)),
        ("/kubepods/burstable/pod{S}/{A}", Unknown, Parent, Some(STATIC)),
        ("/kubepods/burstable/pod{U}/crio-{A}", CriO, Name, Some(UID)),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{_}.slice/cri-containerd-{A}.scope",
            Containerd,
            Unit,
            Some(UID),
        ),
        ("/kubepods.slice/kubepods-pod{_}.slice/docker-{A}.scope", Docker, Unit, Some(UID)),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{_}.slice/crio-{A}.scope/container",
            CriO,
            Unit,
            Some(UID),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/cri-containerd-{A}.scope",
            Containerd,
            Unit,
            Some(STATIC),
        ),
        ("/kubepods-burstable-pod{_}.slice:cri-containerd:{A}", Containerd, Triple, Some(UID)),
        (
            "/system.slice/containerd.service/kubepods-besteffort-pod{_}.slice:cri-containerd:{A}",
            Containerd,
            Triple,
            Some(UID),
        ),
        ("/k8s.io/{A}", Containerd, Parent, None),
        // nerdctl.
        ("/system.slice/nerdctl-{A}.scope", Containerd, Unit, None),
        ("/default/{A}", Unknown, Bare, None),
        // Podman: systemd, cgroupfs, rootless, split.
        ("/machine.slice/libpod-{A}.scope/container", Podman, Unit, None),
        ("/libpod_parent/libpod-{A}", Podman, Name, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope", Podman, Unit, None),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{B}.slice/libpod-{A}.scope/container",
            Podman,
            Unit,
            None,
        ),
        ("/system.slice/web.service/libpod-payload-{A}", Podman, Name, None),
    ];
    for (template, runtime, source, pod_uid) in table {
        let expected =
            Container { id: A.to_owned(), runtime, pod_uid: pod_uid.map(str::to_owned), outermost_id: None, source };
        assert_eq!(container(template), Some(expected), "{template}");
    }
}

#[test]
fn of_nested_containers_it_is_the_innermost_and_the_outermost_is_told() {
    let table = [
        ("/docker/{A}/docker/{B}", Runtime::Docker, None),
        ("/system.slice/docker-{A}.scope/docker/{B}/init", Runtime::Docker, None),
        ("/docker/{A}/kubelet/kubepods/burstable/pod{U}/{B}", Runtime::Unknown, Some(UID)),
        (
            "/docker/{A}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
             kubelet-kubepods-besteffort-pod{_}.slice/cri-containerd-{B}.scope",
            Runtime::Containerd,
            Some(UID),
        ),
        ("/kubepods/pod{U}/{A}/docker/{B}", Runtime::Docker, Some(UID)),
        // Not an id of its own: a name that the inside chose must not hide the rest.
        ("/lxc.payload.c1/docker/{A}/user\n/docker/{B}", Runtime::Docker, None),
    ];
    for (template, runtime, pod_uid) in table {
        let found = container(template).unwrap();
        let outermost = if template.starts_with("/lxc") { "c1" } else { A };
        assert_eq!((&found.id[..], found.runtime), (B, runtime), "{template}");
        assert_eq!(found.outermost_id.as_deref(), Some(outermost), "{template}");
        assert_eq!(found.pod_uid.as_deref(), pod_uid, "{template}");
    }
}

#[test]
fn containers_without_an_id_have_a_name() {
    let table = [
        ("/lxc.payload.web-1/system.slice/cron.service", Runtime::Lxc, "web-1"),
        ("/machine.slice/systemd-nspawn@deb.service/payload/init.scope", Runtime::Nspawn, "deb"),
        (r"/machine.slice/machine-my\x2dbox.scope/payload", Runtime::Nspawn, r"my\x2dbox"),
    ];
    for (template, runtime, name) in table {
        let found = container(template).unwrap();
        assert_eq!((&found.id[..], found.runtime), (name, runtime), "{template}");
    }
}

#[test]
fn what_is_no_container_is_none() {
    let table = [
        "",
        "/",
        "/init.scope",
        "/user.slice/user-1000.slice/session-1.scope",
        "/system.slice/foo.service",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/process_api/306b2272ed73d5bdb9ade0e5f1f5e558",
        "/docker/buildkit/q1w2e3r4t5y6u7i8o9p0a1s2d",
        // Monitors.
        "/machine.slice/libpod-conmon-{A}.scope",
        "/kubepods.slice/crio-conmon-{A}.scope",
        "/lxc.monitor.web-1",
        "/machine.slice/systemd-nspawn@deb.service/supervisor",
        r"/machine.slice/machine-qemu\x2d1\x2ddeb.scope/libvirt/emulator",
        // The pod, not a container in it.
        "/kubepods/burstable/pod{U}",
        "/kubepods.slice/kubepods-pod{_}.slice",
        "/user.slice/user-libpod_pod_{A}.slice",
        // Nearly.
        "/docker/{A}0",
        "/system.slice/docker-{A}.scope\n",
        "/system.slice/docker-{A}.mount",
        "/system.slice/xdocker-{A}.scope",
        "/system.slice/var-lib-docker-containers-{A}-shm.mount",
        ":{A}",
        "/lxc.payload.",
        "/lxc.payload.a b",
        "/lxc.payload.\u{e9}",
    ];
    for template in table {
        assert_eq!(container(template), None, "{template}");
    }
    assert_eq!(Container::from_path(path("/docker/{A}").to_uppercase().as_bytes()), None);
    assert_eq!(Container::from_path(&[path("/docker/{A}").as_bytes(), b"\xff"].concat()), None);
}

#[test]
fn a_pod_has_to_be_one() {
    for template in [
        "/pod{U}/{A}",
        "/kubepods/other/pod{U}/{A}",
        "/xkubepods-pod{_}.slice/docker-{A}.scope",
        "/kubepods-podx{_}.slice/docker-{A}.scope",
        "/kubepods-pod{S}0.slice/docker-{A}.scope",
    ] {
        assert_eq!(container(template).unwrap().pod_uid, None, "{template}");
    }
}

#[test]
fn a_megabyte_is_read_once() {
    let long = "x".repeat(1 << 20);
    for part in ["/".repeat(1 << 20), "/a".repeat(1 << 19), long.clone(), "/pod/kubepods".repeat(1 << 16)] {
        assert_eq!(Container::from_path(part.as_bytes()), None);
        let below = path(&format!("/docker/{{A}}/{part}"));
        assert_eq!(Container::from_path(below.as_bytes()).map(|found| found.id).as_deref(), Some(A));
    }
    let nested = path(&"/docker/{A}".repeat(1 << 14));
    assert!(Container::from_path(nested.as_bytes()).is_some());
    assert_eq!(Container::from_path(format!("/lxc.payload.{long}").as_bytes()), None);
}

/// Names that matter, so that chance hits more than ordinary ones.
fn component() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "docker",
        "kubepods",
        "burstable",
        "ecs",
        "payload",
        "{A}",
        "{B}",
        "docker-{A}.scope",
        "crio-{B}",
        "pod{U}",
        "kubepods-burstable-pod{_}.slice",
        "kubepods-pod{_}.slice:cri-containerd:{A}",
        "lxc.payload.x",
        "machine-x.scope",
        "",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(|template| path(template).into_bytes()),
        "(docker|crio|libpod|cri-containerd)?[-:.]{0,2}[0-9a-g]{63,65}(\\.scope)?".prop_map(String::into_bytes),
        any::<Vec<u8>>(),
    ]
}

proptest! {
    #[test]
    fn whatever_is_found_is_well_formed(components in prop::collection::vec(component(), 0..12)) {
        let path = components.join(&b'/');
        let Some(found) = Container::from_path(&path) else { return Ok(()) };
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        let well_formed = |id: &str| (id.len() == ID_LEN && hex(id)) || (1..=NAME_LEN).contains(&id.len());
        match found.runtime {
            Runtime::Lxc | Runtime::Nspawn => prop_assert!(well_formed(&found.id)),
            _ => prop_assert!(found.id.len() == ID_LEN && hex(&found.id)),
        }
        prop_assert!(found.outermost_id.as_deref().is_none_or(well_formed));
        if let Some(uid) = found.pod_uid {
            prop_assert!((uid.len() == 32 || uid.len() == 36) && hex(&uid.replace('-', "")));
        }
        let whole = found.id.as_bytes();
        prop_assert!(path.windows(whole.len()).any(|part| part == whole));
    }

    #[test]
    fn more_cgroups_inside_change_nothing(components in prop::collection::vec("[a-z]{1,9}(\\.slice|\\.service)?", 0..5)) {
        let outside = path("/kubepods/pod{U}/{A}");
        let inside = format!("{outside}/{}", components.join("/"));
        prop_assert_eq!(Container::from_path(inside.as_bytes()), Container::from_path(outside.as_bytes()));
    }
}
