//! Resource quantities in expressions: exact comparison, sums and differences.
//!
//! Owns arithmetic on quantities. Behaviour: apimachinery `api/resource/quantity.go`.
//! Simplified: kept as a decimal of 38 digits; what is longer is refused.

use std::cmp::Ordering;
use std::fmt;

/// `mantissa × 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    mantissa: i128,
    exponent: i32,
}

/// The text of apimachinery's format error.
pub(super) const FORMAT_ERROR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX_ERROR: &str = "unable to parse quantity's suffix";

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Quantity, &'static str> {
        if text.is_empty() {
            return Err(FORMAT_ERROR);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        if digits.is_empty() || digits.matches('.').count() > 1 || digits == "." {
            return Err(FORMAT_ERROR);
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction}");
        let all = all.trim_start_matches('0');
        let mantissa: i128 = if all.is_empty() {
            0
        } else if all.len() > 28 {
            return Err(FORMAT_ERROR);
        } else {
            all.parse().map_err(|_| FORMAT_ERROR)?
        };
        let mantissa = if text.starts_with('-') {
            -mantissa
        } else {
            mantissa
        };
        let scale = -(fraction.len() as i32);
        let (exponent, factor) = suffix_of(suffix)?;
        let mantissa = mantissa.checked_mul(factor).ok_or(FORMAT_ERROR)?;
        Ok(Quantity {
            mantissa,
            exponent: scale + exponent,
        }
        .reduced())
    }

    /// A whole number.
    pub fn from_int(value: i64) -> Quantity {
        Quantity {
            mantissa: i128::from(value),
            exponent: 0,
        }
        .reduced()
    }

    fn reduced(mut self) -> Quantity {
        if self.mantissa == 0 {
            self.exponent = 0;
        }
        while self.mantissa != 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.exponent += 1;
        }
        self
    }

    fn aligned(a: Quantity, b: Quantity) -> Option<(i128, i128, i32)> {
        let exponent = a.exponent.min(b.exponent);
        let scale = |q: Quantity| {
            let places = u32::try_from(q.exponent - exponent).ok()?;
            q.mantissa.checked_mul(10i128.checked_pow(places)?)
        };
        Some((scale(a)?, scale(b)?, exponent))
    }

    /// The sum.
    pub fn plus(self, other: Quantity) -> Option<Quantity> {
        let (a, b, exponent) = Quantity::aligned(self, other)?;
        let mantissa = a.checked_add(b)?;
        Some(Quantity { mantissa, exponent }.reduced())
    }

    /// The difference.
    pub fn minus(self, other: Quantity) -> Option<Quantity> {
        let mantissa = other.mantissa.checked_neg()?;
        self.plus(Quantity { mantissa, ..other })
    }

    /// −1, 0 or 1.
    pub fn sign(self) -> i64 {
        self.mantissa.signum() as i64
    }

    /// As a whole number that fits an `i64`.
    pub fn as_int(self) -> Option<i64> {
        if self.exponent < 0 {
            return None;
        }
        let power = 10i128.checked_pow(self.exponent as u32)?;
        i64::try_from(self.mantissa.checked_mul(power)?).ok()
    }

    /// As a float.
    pub fn as_f64(self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .unwrap_or(f64::INFINITY)
    }
}

fn suffix_of(suffix: &str) -> Result<(i32, i128), &'static str> {
    let binary = |power: u32| Ok((0, 1i128 << (10 * power)));
    match suffix {
        "" => Ok((0, 1)),
        "n" => Ok((-9, 1)),
        "u" => Ok((-6, 1)),
        "m" => Ok((-3, 1)),
        "k" => Ok((3, 1)),
        "M" => Ok((6, 1)),
        "G" => Ok((9, 1)),
        "T" => Ok((12, 1)),
        "P" => Ok((15, 1)),
        "E" => Ok((18, 1)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
                let exponent: i32 = exponent.parse().map_err(|_| SUFFIX_ERROR)?;
                if exponent.abs() > 1000 {
                    return Err(SUFFIX_ERROR);
                }
                return Ok((exponent, 1));
            }
            let known = |c: char| "eEinumkKMGTP+-0123456789".contains(c);
            Err(if suffix.chars().all(known) {
                SUFFIX_ERROR
            } else {
                FORMAT_ERROR
            })
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.mantissa == other.mantissa && self.exponent == other.exponent
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(match Quantity::aligned(*self, *other) {
            Some((a, b, _)) => a.cmp(&b),
            None => self.as_f64().total_cmp(&other.as_f64()),
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_int() {
            Some(whole) => write!(f, "{whole}"),
            None => write!(f, "{}e{}", self.mantissa, self.exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l8_quantities_compare_by_value() {
        let q = |text| Quantity::parse(text).expect(text);
        assert_eq!(q("1"), q("1000m"));
        assert!(q("1Gi") > q("1G"));
        assert_eq!(q("1.5").plus(q("500m")), Some(q("2")));
        assert_eq!(Quantity::parse("x"), Err(FORMAT_ERROR));
        assert_eq!(q("1e3").as_int(), Some(1000));
    }
}
