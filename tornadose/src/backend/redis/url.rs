//! The URLs of Redis: of one server, of the Sentinels that watch a master, and of the nodes of a cluster.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::backend::engine::OpenError;

/// The port of a Sentinel whose URL names none.
const SENTINEL_PORT: u16 = 26379;

/// A URL, in its parts.
#[derive(Debug)]
pub(super) struct RedisUrl {
    pub(super) target: UrlTarget,
    /// The credentials and the database.
    pub(super) settings: RedisConnectionInfo,
    pub(super) is_tls: bool,
}

/// The servers that a URL names.
#[derive(Debug)]
pub(super) enum UrlTarget {
    /// One server. It may be a node of a cluster.
    Server(ConnectionAddr),
    /// Sentinels, their credentials, and the name under which they know the master.
    Sentinels { addresses: Vec<ConnectionAddr>, settings: RedisConnectionInfo, service: String },
    /// Nodes of a cluster.
    Cluster(Vec<ConnectionAddr>),
}

impl RedisUrl {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let scheme = scheme.to_ascii_lowercase();
        let (base, topology) = match scheme.split_once('+') {
            Some((base, topology @ ("sentinel" | "cluster"))) => (base, Some(topology)),
            _ => (scheme.as_str(), None),
        };
        let (plain, is_tls) = match base {
            "rediss" => ("redis", true),
            "valkeys" => ("valkey", true),
            base => (base, false),
        };
        match topology {
            Some("sentinel") => Self::parse_sentinels(plain, rest, is_tls),
            Some(_) => Self::parse_cluster(plain, rest, is_tls),
            None => {
                let url = if is_tls { format!("{plain}://{rest}") } else { url.to_owned() };
                let info = parse_server(&url)?;
                let target = UrlTarget::Server(info.addr().clone());
                Ok(Self { target, settings: info.redis_settings().clone(), is_tls })
            }
        }
    }

    fn parse_sentinels(scheme: &str, rest: &str, is_tls: bool) -> Result<Self, OpenError> {
        let Parts { credentials, hosts, path, query } = Parts::split(rest)?;
        let (service, database) = path.split_once('/').unwrap_or((path, ""));
        if service.is_empty() {
            return Err(OpenError::new(
                "the URL does not name the master that the Sentinels watch, as in \
                 `redis+sentinel://127.0.0.1:26379/mymaster`",
            ));
        }
        let (mut user, mut password) = ("", "");
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sentinel_user", value)) => user = value,
                Some(("sentinel_password", value)) => password = value,
                _ => {
                    let name = parameter.split('=').next().unwrap_or_default();
                    return Err(OpenError::new(format!(
                        "unknown parameter `{name}` of the URL: there are `sentinel_user` and `sentinel_password`"
                    )));
                }
            }
        }
        if password.is_empty() && !user.is_empty() {
            return Err(OpenError::new("`sentinel_user` needs `sentinel_password`"));
        }
        let sentinel_credentials = if password.is_empty() { String::new() } else { format!("{user}:{password}@") };
        let mut addresses = Vec::new();
        for host in &hosts {
            let has_port = host.rsplit_once(']').map_or(*host, |(_, port)| port).contains(':');
            let host = if has_port { (*host).to_owned() } else { format!("{host}:{SENTINEL_PORT}") };
            addresses.push(parse_server(&format!("{scheme}://{host}"))?.addr().clone());
        }
        let settings = parse_server(&format!("{scheme}://{sentinel_credentials}{}", hosts[0]))?;
        let servers = parse_server(&format!("{scheme}://{credentials}{}/{database}", hosts[0]))?;
        let (settings, service) = (settings.redis_settings().clone(), service.to_owned());
        let target = UrlTarget::Sentinels { addresses, settings, service };
        Ok(Self { target, settings: servers.redis_settings().clone(), is_tls })
    }

    fn parse_cluster(scheme: &str, rest: &str, is_tls: bool) -> Result<Self, OpenError> {
        let Parts { credentials, hosts, path, query } = Parts::split(rest)?;
        if !query.is_empty() {
            return Err(OpenError::new("the URL of a cluster has no parameters"));
        }
        if !matches!(path, "" | "0") {
            return Err(OpenError::new(format!("a cluster has only the database 0: leave `/{path}` out of the URL")));
        }
        let mut addresses = Vec::new();
        for host in &hosts {
            addresses.push(parse_server(&format!("{scheme}://{host}"))?.addr().clone());
        }
        let servers = parse_server(&format!("{scheme}://{credentials}{}", hosts[0]))?;
        Ok(Self { target: UrlTarget::Cluster(addresses), settings: servers.redis_settings().clone(), is_tls })
    }
}

/// The parts of a URL with several hosts that follow its scheme.
struct Parts<'a> {
    /// With the `@` that ends them, if there are any.
    credentials: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Result<Self, OpenError> {
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if path.contains('@') {
            return Err(OpenError::new(
                "write `%2F` for `/`, `%3F` for `?` and `%40` for `@` in the password of the URL",
            ));
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Ok(Self { credentials, hosts: hosts.split(',').collect(), path: path.trim_matches('/'), query })
    }
}

fn parse_server(url: &str) -> Result<ConnectionInfo, OpenError> {
    url.into_connection_info().map_err(|error| {
        let detail = error.detail().unwrap_or(error.category());
        OpenError::new(format!("not a Redis URL, such as `redis://127.0.0.1:6379/0`: {detail}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a URL's parts in one line.
    fn parse(url: &str) -> String {
        let login = |settings: &RedisConnectionInfo| {
            let (user, password) = (settings.username().unwrap_or("-"), settings.password().unwrap_or("-"));
            format!("{user} {password} {}", settings.db())
        };
        let list =
            |addresses: &[ConnectionAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match RedisUrl::parse(url) {
            Ok(RedisUrl { target, settings, is_tls }) => {
                let target = match target {
                    UrlTarget::Server(address) => format!("server {address}"),
                    UrlTarget::Sentinels { addresses, settings, service } => {
                        format!("{service} of {} ({})", list(&addresses), login(&settings))
                    }
                    UrlTarget::Cluster(addresses) => format!("cluster {}", list(&addresses)),
                };
                format!("{target}; {}{}", login(&settings), if is_tls { "; TLS" } else { "" })
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_url_names_one_server_or_sentinels_or_a_cluster() {
        for (url, parts) in [
            ("redis://host", "server host:6379; - - 0"),
            ("rediss://me:secret@host:1/3", "server host:1; me secret 3; TLS"),
            ("valkeys://host", "server host:6379; - - 0; TLS"),
            ("redis+sentinel://a,b:1/mymaster", "mymaster of a:26379,b:1 (- - 0); - - 0"),
            ("redis+sentinel://[::1],[::2]:5/m/2", "m of ::1:26379,::2:5 (- - 0); - - 2"),
            (
                "rediss+sentinel://me:p%40s@a:1,b:2/m/3?sentinel_user=you&sentinel_password=q%2F",
                "m of a:1,b:2 (you q/ 0); me p@s 3; TLS",
            ),
            ("redis+sentinel://:s@a/m?sentinel_password=q", "m of a:26379 (- q 0); - s 0"),
            ("redis+cluster://a,b:1", "cluster a:6379,b:1; - - 0"),
            ("valkey+cluster://me:secret@a/0", "cluster a:6379; me secret 0"),
        ] {
            assert_eq!(parse(url), parts, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_wrong_is_an_error_that_says_what_to_write() {
        for (url, error) in [
            ("host:1", "not a Redis URL, such as `redis://127.0.0.1:6379/0`: "),
            ("http://host", "not a Redis URL, such as `redis://127.0.0.1:6379/0`: "),
            ("http+cluster://host", "not a Redis URL, such as `redis://127.0.0.1:6379/0`: "),
            (
                "redis+sentinel://a:1",
                "the URL does not name the master that the Sentinels watch, as in `redis+sentinel:",
            ),
            ("redis+sentinel://a:1/?x", "the URL does not name the master"),
            ("redis+sentinel://a,,b/m", "not a Redis URL"),
            ("redis+sentinel://a:x/m", "not a Redis URL"),
            ("redis+sentinel://a/m/x", "not a Redis URL"),
            ("redis+sentinel://a/m?db=3", "unknown parameter `db` of the URL: there are `sentinel_user` and "),
            ("redis+sentinel://a/m?sentinel_user=me", "`sentinel_user` needs `sentinel_password`"),
            (
                "redis+sentinel://:p/w?secret@a/m",
                "write `%2F` for `/`, `%3F` for `?` and `%40` for `@` in the password",
            ),
            (
                "redis+cluster://:pa/ss@a",
                "write `%2F` for `/`, `%3F` for `?` and `%40` for `@` in the password of the URL",
            ),
            ("redis+cluster://a/3", "a cluster has only the database 0: leave `/3` out of the URL"),
            ("redis+cluster://a?x=y", "the URL of a cluster has no parameters"),
            ("redis+cluster://", "not a Redis URL"),
        ] {
            assert!(parse(url).starts_with(error), "{url}: {}", parse(url));
        }
    }
}
