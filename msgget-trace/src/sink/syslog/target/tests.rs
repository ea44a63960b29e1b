//! Targets as users write them, right and wrong.

use proptest::prelude::*;

use super::*;

fn at(host: &str, port: u16) -> Peer {
    Peer { host: host.into(), port }
}

#[test]
fn every_way_has_its_form_and_port() {
    for (text, target) in [
        ("unix:/dev/log", Target::Unix("/dev/log".into())),
        ("udp://collector", Target::Udp(at("collector", 514))),
        ("udp://10.0.0.1:5514", Target::Udp(at("10.0.0.1", 5514))),
        ("tcp://[::1]:601", Target::Tcp(at("::1", 601))),
        ("tcp://[fe80::1%eth0]", Target::Tcp(at("fe80::1%eth0", 601))),
        ("tcp://a.b-c_d.example:1", Target::Tcp(at("a.b-c_d.example", 1))),
        ("tls://host", Target::Tls(at("host", 6514), TlsOptions::default())),
        ("tls://host:65535?", Target::Tls(at("host", 65535), TlsOptions::default())),
    ] {
        assert_eq!(text.parse(), Ok(target), "{text}");
    }
}

#[test]
fn tls_has_options() {
    let options = TlsOptions {
        ca: Some("/ca.pem".into()),
        name: Some("n.example".into()),
        certificate: Some("/c=1.pem".into()),
        key: Some("/k.pem".into()),
    };
    let text = "tls://host:6514?ca=/ca.pem&name=n.example&certificate=/c=1.pem&key=/k.pem";
    assert_eq!(text.parse(), Ok(Target::Tls(at("host", 6514), options)));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, reason) in [
        ("", "by which way"),
        ("host:514", "by which way"),
        ("unix:dev/log", "begins with /"),
        ("unix:", "begins with /"),
        ("relp://host", "no way called \"relp\""),
        ("udp://", "\"\" is no host"),
        ("udp://:514", "\"\" is no host"),
        ("tcp://a b", "\"a b\" is no host"),
        ("tcp://host/", "\"host/\" is no host"),
        ("tcp://user@host", "\"user@host\" is no host"),
        ("tcp://host?ca=/x", "is no host"),
        ("tcp://::1", "is no host"),
        ("tcp://fe80::1:601", "stands in brackets"),
        ("tcp://[::1", "a ] is missing"),
        ("tcp://[host]", "\"host\" is no IPv6 address"),
        ("tcp://[::1]601", "\"601\" is not a port"),
        ("tcp://host:", "\"\" is not a port"),
        ("tcp://host:0", "\"0\" is not a port"),
        ("tcp://host:65536", "\"65536\" is not a port"),
        ("tcp://host:+1", "\":+1\" is not a port"),
        ("tls://host?verify=no", "no option \"verify\""),
        ("tls://host?ca", "option \"ca\" has no value"),
        ("tls://host?name=", "option \"name\" has no value"),
        ("tls://host?name=a&name=b", "option \"name\" is there twice"),
        ("tls://host?key=/k", "a key without its certificate"),
    ] {
        let message = text.parse::<Target>().unwrap_err().to_string();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(message.contains(&format!("{text:?}")) && message.contains("use unix:/PATH"), "{message}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_can_be_written(host in "[a-z0-9.-]{1,20}", address: Ipv6Addr, port in 1..=u16::MAX) {
        for host in [host, address.to_string()] {
            for target in [Target::Udp(at(&host, port)), Target::Tcp(at(&host, port))] {
                prop_assert_eq!(target.to_string().parse(), Ok(target));
            }
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in "(unix:|udp://|tcp://|tls://)?.*") {
        drop(text.parse::<Target>());
    }
}
