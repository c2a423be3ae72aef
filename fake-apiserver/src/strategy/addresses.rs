//! IP addresses and blocks in fields.
//!
//! Source: apimachinery `pkg/util/validation/ip.go`; `ValidateEndpointIP`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::field::{At, Errors};

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_BLOCK: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Reads an address the lenient way of old fields: leading zeros in an IPv4 address are fine.
pub fn parse(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(match address.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(address),
        });
    }
    let mut parts = [0_u8; 4];
    let mut count = 0;
    for part in text.split('.') {
        if count == 4
            || part.is_empty()
            || part.len() > 10
            || !part.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        parts[count] = part.parse().ok()?;
        count += 1;
    }
    (count == 4).then(|| IpAddr::V4(Ipv4Addr::from(parts)))
}

/// A field that must be an IP address; true if it is one.
pub fn ip(errors: &mut Errors, at: &At) -> bool {
    let valid = parse(at.text()).is_some();
    if !valid {
        errors.invalid_as(at, at.text(), NOT_AN_IP);
    }
    valid
}

/// Reads an address the strict way of new fields; the error says what is wrong with it.
pub fn canonical(text: &str) -> Result<IpAddr, String> {
    if parse(text).is_none() {
        return Err(NOT_AN_IP.to_owned());
    }
    match text.parse::<IpAddr>() {
        Err(_) => Err("must not have leading 0s".to_owned()),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Err("must not be an IPv4-mapped IPv6 address".to_owned())
        }
        Ok(address) if address.to_string() != text => {
            let wanted = crate::status::go_quote(&address.to_string());
            Err(format!("must be in canonical form ({wanted})"))
        }
        Ok(address) => Ok(address),
    }
}

/// Reads a block; the address and the prefix length.
pub fn parse_block(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse(address)?;
    let length: u8 = match length.bytes().all(|b| b.is_ascii_digit()) {
        true => length.parse().ok()?,
        false => return None,
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((address, length))
}

/// A field that must be a CIDR block; true if it is one.
pub fn block(errors: &mut Errors, at: &At) -> bool {
    let valid = parse_block(at.text().trim()).is_some();
    if !valid {
        errors.invalid_as(at, at.text(), NOT_A_BLOCK);
    }
    valid
}

/// The address with all bits after the prefix unset.
pub fn network(address: IpAddr, length: u8) -> IpAddr {
    let keep = |bits: u32| (bits > u32::from(length)).then(|| bits - u32::from(length));
    match address {
        IpAddr::V4(v4) => {
            let cut = keep(32).unwrap_or(0);
            let bits = u64::from(u32::from(v4)) >> cut << cut;
            IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).unwrap_or_default()))
        }
        IpAddr::V6(v6) => match keep(128) {
            Some(128) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            cut => {
                let cut = cut.unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> cut << cut))
            }
        },
    }
}

/// True if the first block holds the second and is larger.
pub fn strictly_contains(outer: (IpAddr, u8), inner: (IpAddr, u8)) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let mask = if outer.1 == 0 {
        0
    } else {
        u128::MAX << (128 - u32::from(outer.1))
    };
    outer.0.is_ipv4() == inner.0.is_ipv4()
        && outer.1 < inner.1
        && bits(outer.0) & mask == bits(inner.0) & mask
}

/// An address that can be reached from elsewhere: not unspecified, loopback, link-local or multicast.
pub fn endpoint(errors: &mut Errors, at: &At) {
    let Some(address) = parse(at.text()) else {
        errors.invalid_as(at, at.text(), "must be a valid IP address");
        return;
    };
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let link_local_multicast = match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    if address.is_unspecified() {
        errors.invalid(at, &format!("may not be unspecified ({})", at.text()));
    }
    if address.is_loopback() {
        errors.invalid(
            at,
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        );
    }
    if link_local {
        errors.invalid(
            at,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        );
    }
    if link_local_multicast {
        errors.invalid(
            at,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_fields_take_leading_zeros() {
        assert!(parse("010.1.1.1").is_some());
        assert!(parse("10.1.1").is_none());
        assert!(parse("fd00::1").is_some());
        assert!(parse_block("10.0.0.0/33").is_none());
        let (outer, inner) = (
            parse_block("10.0.0.0/8").unwrap(),
            parse_block("10.1.0.0/16").unwrap(),
        );
        assert!(strictly_contains(outer, inner) && !strictly_contains(inner, outer));
    }
}
