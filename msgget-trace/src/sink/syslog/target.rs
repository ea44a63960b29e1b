//! What the user wrote goes in, where messages are to go comes out, or an error that says what is wrong with it. Pure.
//!
//! ```text
//! unix:/dev/log                                  a socket of this host
//! udp://host:514  tcp://10.0.0.1  tcp://[::1]:601
//! tls://host:6514?ca=FILE&name=NAME&certificate=FILE&key=FILE
//! ```
//!
//! A port that is left out is 514 (RFC 5426 3.3), 601 (RFC 3195, common for TCP) or 6514 (RFC 5425 4.1). The options of `tls` may be
//! left out, too; no `&` can stand in them.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr};

use thiserror::Error;

/// A host and a port of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

/// Whom to trust and who to be, in TLS. All files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates of the authorities to trust; the system's if `None`.
    pub ca: Option<PathBuf>,
    /// Name, or address, that the certificate of the peer has to bear, and that it is asked for (SNI); its host if `None`.
    pub name: Option<String>,
    /// Our certificate, and behind it those that lead to an authority that the peer trusts.
    pub certificate: Option<PathBuf>,
    /// The key of that; in the same file if `None`.
    pub key: Option<PathBuf>,
}

/// Where messages are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A socket of this host, for datagrams or a stream.
    Unix(PathBuf),
    /// RFC 5426.
    Udp(Peer),
    /// RFC 6587.
    Tcp(Peer),
    /// RFC 5425.
    Tls(Peer, TlsOptions),
}

/// Nothing that messages could go to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "syslog target {target:?}: {reason}; use unix:/PATH, udp://HOST[:PORT], tcp://HOST[:PORT] or \
     tls://HOST[:PORT][?ca=FILE&name=NAME&certificate=FILE&key=FILE]"
)]
pub struct TargetError {
    /// What was written.
    pub target: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(target: &str) -> Result<Self, Self::Err> {
        parse(target).map_err(|reason| TargetError { target: target.to_owned(), reason })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(peer) => write!(f, "udp://{peer}"),
            Self::Tcp(peer) => write!(f, "tcp://{peer}"),
            Self::Tls(peer, _) => write!(f, "tls://{peer}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn parse(target: &str) -> Result<Target, String> {
    if let Some(path) = target.strip_prefix("unix:") {
        return match path.starts_with('/') && !path.contains('\0') {
            true => Ok(Target::Unix(path.into())),
            false => Err("the path of a socket begins with /".into()),
        };
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err("it does not say by which way".into());
    };
    match scheme {
        "udp" => Ok(Target::Udp(peer(rest, 514)?)),
        "tcp" => Ok(Target::Tcp(peer(rest, 601)?)),
        "tls" => {
            let (address, options) = rest.split_once('?').map_or((rest, ""), |(address, options)| (address, options));
            Ok(Target::Tls(peer(address, 6514)?, tls(options)?))
        }
        other => Err(format!("there is no way called {other:?}")),
    }
}

fn peer(text: &str, default: u16) -> Result<Peer, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("a ] is missing")?;
            // A link-local address has the name of an interface behind it.
            let address = host.split_once('%').map_or(host, |(address, _)| address);
            address.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
            (host, port)
        }
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let strange = |letter: char| !(letter.is_alphanumeric() || "-._:%".contains(letter));
    if host.is_empty() || host.contains(strange) {
        return Err(format!("{host:?} is no host"));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        Some(port) if port.contains(':') => return Err("an IPv6 address stands in brackets".into()),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("{digits:?} is not a port from 1 to 65535")),
        },
        _ => return Err(format!("{port:?} is not a port from 1 to 65535")),
    };
    Ok(Peer { host: host.to_owned(), port })
}

fn tls(text: &str) -> Result<TlsOptions, String> {
    let mut options = TlsOptions::default();
    for option in text.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if value.is_empty() {
            return Err(format!("option {key:?} has no value"));
        }
        let twice = match key {
            "ca" => options.ca.replace(value.into()).is_some(),
            "name" => options.name.replace(value.to_owned()).is_some(),
            "certificate" => options.certificate.replace(value.into()).is_some(),
            "key" => options.key.replace(value.into()).is_some(),
            _ => return Err(format!("there is no option {key:?}")),
        };
        if twice {
            return Err(format!("option {key:?} is there twice"));
        }
    }
    if options.key.is_some() && options.certificate.is_none() {
        return Err("a key without its certificate".into());
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
