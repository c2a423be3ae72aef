//! IP addresses and CIDR blocks in expressions.
//!
//! Behaviour: Kubernetes `apiserver/pkg/cel/library/{ip,cidr}.go` (Go's `netip`):
//! no zones, no IPv4-mapped IPv6.

use std::fmt;
use std::net::IpAddr;

/// An address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ip(pub IpAddr);

/// A block of addresses; host bits are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cidr {
    /// The address as written.
    pub ip: Ip,
    /// The length of the prefix.
    pub prefix: u8,
}

impl Ip {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Ip, String> {
        if text.contains('%') {
            return Err(format!(
                "IP address {} with zone value is not allowed",
                crate::status::go_quote(text)
            ));
        }
        let ip: IpAddr = text.parse().map_err(|_| {
            format!("IP Address {0} parse error during conversion from string: ParseAddr({0}): unable to parse IP", crate::status::go_quote(text))
        })?;
        match ip {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(format!(
                "IPv4-mapped IPv6 address {} is not allowed",
                crate::status::go_quote(text)
            )),
            ip => Ok(Ip(ip)),
        }
    }

    /// 4 or 16.
    pub fn bytes_len(&self) -> u64 {
        if self.0.is_ipv4() { 4 } else { 16 }
    }

    /// 4 or 6.
    pub fn family(&self) -> i64 {
        if self.0.is_ipv4() { 4 } else { 6 }
    }

    fn bits(&self) -> (u128, u8) {
        match self.0 {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        }
    }

    /// Whether it is link local and unicast.
    pub fn is_link_local_unicast(&self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// Whether it is link local and multicast.
    pub fn is_link_local_multicast(&self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        }
    }

    /// Whether it is unicast beyond the link.
    pub fn is_global_unicast(&self) -> bool {
        let broadcast = matches!(self.0, IpAddr::V4(v4) if v4.is_broadcast());
        !(self.0.is_unspecified()
            || self.0.is_loopback()
            || self.0.is_multicast()
            || broadcast
            || self.is_link_local_unicast())
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Cidr {
    /// Reads a block.
    pub fn parse(text: &str) -> Result<Cidr, String> {
        let error = || {
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({}): no '/'",
                crate::status::go_quote(text)
            )
        };
        let (ip, prefix) = text.split_once('/').ok_or_else(error)?;
        let ip = Ip::parse(ip)?;
        let digits = !prefix.is_empty()
            && prefix.bytes().all(|b| b.is_ascii_digit())
            && (prefix.len() == 1 || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or_else(error)?;
        if prefix > ip.bits().1 {
            return Err(error());
        }
        Ok(Cidr { ip, prefix })
    }

    fn mask(&self) -> u128 {
        let width = self.ip.bits().1;
        let host = u32::from(width - self.prefix);
        if host >= 128 { 0 } else { u128::MAX << host }
    }

    /// Whether the block holds an address.
    pub fn contains_ip(&self, ip: &Ip) -> bool {
        let ((a, aw), (b, bw)) = (self.ip.bits(), ip.bits());
        aw == bw && a & self.mask() == b & self.mask()
    }

    /// Whether the block holds another.
    pub fn contains(&self, other: &Cidr) -> bool {
        self.prefix <= other.prefix && self.contains_ip(&other.ip)
    }

    /// The block without host bits.
    pub fn masked(&self) -> Cidr {
        let (bits, width) = self.ip.bits();
        let bits = bits & self.mask();
        let ip = if width == 32 {
            IpAddr::V4((bits as u32).into())
        } else {
            IpAddr::V6(bits.into())
        };
        Cidr {
            ip: Ip(ip),
            prefix: self.prefix,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}
