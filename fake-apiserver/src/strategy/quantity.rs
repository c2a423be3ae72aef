//! Quantities: `100m`, `1Gi`, `1e3` and their canonical spelling.
//!
//! Owns parsing, the canonical form (O4), comparison and sums. Does not own where quantities stand: the schema says that.
//! A spelling that is already canonical by the real server's quick test is kept as sent, odd signs and zeros included.
//! Numbers with a binary suffix are cut to what 64 bits hold, as the real server does.
//! Simplification: numbers of more than 30 digits keep their spelling.
//! Source: apimachinery `pkg/api/resource`.

use std::cmp::Ordering;

/// What is wrong with a text that is no quantity.
pub const WRONG_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER: &str = "unable to parse numeric part of quantity";
const WRONG_SUFFIX: &str = "unable to parse quantity's suffix";

/// More digits than this are not counted with.
const DIGITS_MAX: usize = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// An amount with the spelling it came in.
#[derive(Clone, Debug)]
pub struct Quantity {
    // The amount is mantissa × 10^scale.
    mantissa: i128,
    scale: i32,
    format: Format,
    // The spelling, while it still says the amount.
    text: Option<String>,
}

impl Quantity {
    /// Zero.
    pub fn zero() -> Quantity {
        Quantity {
            mantissa: 0,
            scale: 0,
            format: Format::DecimalSi,
            text: None,
        }
    }

    /// Reads a quantity; the error is the real server's text.
    pub fn parse(text: &str) -> Result<Quantity, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err(WRONG_FORMAT);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        let whole = &rest[..digits(rest)];
        let after = &rest[whole.len()..];
        let (fraction, suffix) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if !is_suffix_shape(suffix) {
            return Err(WRONG_FORMAT);
        }
        let number = whole.trim_start_matches('0');
        // What is left of the number after its leading zeros decides what "canonical" means; nothing left is "0".
        let number = if number.is_empty() { "0" } else { number };
        let (base2, exponent, format) = interpret(suffix).ok_or(WRONG_SUFFIX)?;
        if whole.is_empty() && fraction.is_empty() && suffix.is_empty() && rest.is_empty() {
            return Ok(Quantity::zero());
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(WRONG_NUMBER);
        }
        if number.len() + fraction.len() > DIGITS_MAX {
            return Ok(Quantity {
                mantissa: if negative {
                    i128::MIN / 2
                } else {
                    i128::MAX / 2
                },
                scale: 0,
                format,
                text: Some(text.to_owned()),
            });
        }
        let shifted = format!("{number}{fraction}");
        let value: i128 = shifted.parse().map_err(|_| WRONG_NUMBER)?;
        let signed = |value: i128| if negative { -value } else { value };
        let fraction_len = fraction.len() as i32;
        let (mantissa, scale, quick) = match format {
            Format::BinarySi => {
                let quick = 15 - number.len() as i32 - (base2 as f32 * 3.0 / 10.0) as i32 - 1;
                let quick = fraction.is_empty() && quick >= 0;
                let mantissa = value.checked_shl(base2).filter(|m| m >> base2 == value);
                let most = Quantity::from(i64::MAX);
                let fits = |mantissa: i128| {
                    let amount = Quantity {
                        mantissa,
                        scale: -fraction_len,
                        ..Quantity::zero()
                    };
                    quick || amount <= most
                };
                match mantissa.filter(|mantissa| fits(*mantissa)) {
                    Some(mantissa) => (mantissa, -fraction_len, quick),
                    None => (most.mantissa, 0, false),
                }
            }
            _ => {
                let quick = 18 - (number.len() + fraction.len()) as i32;
                (value, exponent - fraction_len, quick >= 0)
            }
        };
        let canonical = quick
            && scale >= -9
            && match format {
                Format::BinarySi => value & 7 != 0,
                _ => scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0'),
            };
        let mut quantity = Quantity {
            mantissa: signed(mantissa),
            scale,
            format,
            text: (canonical || text == "0").then(|| text.to_owned()),
        };
        quantity.round_up(-9);
        if format == Format::BinarySi
            && !quick
            && quantity.mantissa > 0
            && quantity.cmp(&Quantity::from(1)) == Ordering::Less
        {
            quantity.format = Format::DecimalSi;
        }
        Ok(quantity)
    }

    /// Rounds away from zero to a multiple of 10^scale.
    pub fn round_up(&mut self, scale: i32) {
        if self.scale >= scale {
            return;
        }
        self.text = None;
        let factor = 10_i128
            .checked_pow((scale - self.scale) as u32)
            .unwrap_or(i128::MAX);
        let rest = self.mantissa % factor;
        self.mantissa = self.mantissa / factor + rest.signum();
        self.scale = scale;
    }

    /// The canonical spelling.
    pub fn canonical(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        if self.mantissa == 0 {
            return "0".to_owned();
        }
        let mut format = self.format;
        if format == Format::BinarySi {
            let small = self.cmp(&Quantity::from(-1024)) == Ordering::Greater
                && self.cmp(&Quantity::from(1024)) == Ordering::Less;
            if small || self.whole().is_none() {
                format = Format::DecimalSi;
            }
        }
        if let (Format::BinarySi, Some(whole)) = (format, self.whole()) {
            let (mut amount, mut times) = (whole, 0);
            while amount.unsigned_abs() >= 1024 && amount % 1024 == 0 {
                amount /= 1024;
                times += 1;
            }
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
                .get(times)
                .copied()
                .unwrap_or_default();
            return format!("{amount}{suffix}");
        }
        let (mut amount, mut exponent) = (self.mantissa, self.scale);
        while amount % 10 == 0 {
            amount /= 10;
            exponent += 1;
        }
        while exponent.rem_euclid(3) != 0 {
            amount = amount.saturating_mul(10);
            exponent -= 1;
        }
        let suffix = match (format, exponent) {
            (_, 0) => String::new(),
            (Format::DecimalExponent, _) => format!("e{exponent}"),
            (_, -9) => "n".to_owned(),
            (_, -6) => "u".to_owned(),
            (_, -3) => "m".to_owned(),
            (_, 3..=18) => ["k", "M", "G", "T", "P", "E"][(exponent / 3 - 1) as usize].to_owned(),
            _ => String::new(),
        };
        format!("{amount}{suffix}")
    }

    /// The amount if it is a whole number.
    pub fn whole(&self) -> Option<i128> {
        if self.scale >= 0 {
            return self
                .mantissa
                .checked_mul(10_i128.checked_pow(self.scale as u32)?);
        }
        let factor = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        (self.mantissa % factor == 0).then(|| self.mantissa / factor)
    }

    /// In thousandths, rounded up.
    pub fn thousandths(&self) -> i128 {
        let more = Quantity {
            scale: self.scale + 3,
            text: None,
            ..self.clone()
        };
        more.ceiling()
    }

    /// The amount, rounded up to a whole number.
    pub fn ceiling(&self) -> i128 {
        let mut rounded = self.clone();
        rounded.round_up(0);
        rounded.whole().unwrap_or(i128::MAX)
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.mantissa < 0
    }

    /// This plus another; the spelling's family stays this one's, as in the real server (of a zero: the other's).
    pub fn add(&mut self, other: &Quantity) {
        self.combine(other, 1);
    }

    /// This minus another.
    pub fn sub(&mut self, other: &Quantity) {
        self.combine(other, -1);
    }

    fn combine(&mut self, other: &Quantity, sign: i128) {
        if self.is_zero() {
            self.format = other.format;
        }
        let scale = self.scale.min(other.scale);
        let scaled = |q: &Quantity| {
            let factor = 10_i128
                .checked_pow((q.scale - scale) as u32)
                .unwrap_or(i128::MAX);
            q.mantissa.saturating_mul(factor)
        };
        self.mantissa = scaled(self).saturating_add(scaled(other).saturating_mul(sign));
        self.scale = scale;
        self.text = None;
    }
}

impl From<i64> for Quantity {
    fn from(number: i64) -> Quantity {
        Quantity {
            mantissa: i128::from(number),
            ..Quantity::zero()
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let scale = self.scale.min(other.scale);
        let scaled = |q: &Quantity| {
            10_i128
                .checked_pow((q.scale - scale) as u32)
                .and_then(|factor| q.mantissa.checked_mul(factor))
                .unwrap_or(if q.mantissa < 0 { i128::MIN } else { i128::MAX })
        };
        scaled(self).cmp(&scaled(other))
    }
}

fn is_suffix_shape(suffix: &str) -> bool {
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    digits.bytes().all(|b| b.is_ascii_digit())
}

// (power of two, power of ten, format)
fn interpret(suffix: &str) -> Option<(u32, i32, Format)> {
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(at) = decimal.iter().position(|known| *known == suffix) {
        return Some((0, 3 * at as i32 - 9, Format::DecimalSi));
    }
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(at) = binary.iter().position(|known| *known == suffix) {
        return Some((10 * (at as u32 + 1), 0, Format::BinarySi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let exponent: i32 = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .ok()?;
    (-1000..=1000)
        .contains(&exponent)
        .then_some((0, exponent, Format::DecimalExponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spelling: &str, want: &str) {
        assert_eq!(
            Quantity::parse(spelling).unwrap().canonical(),
            want,
            "{spelling}"
        );
    }

    #[test]
    fn o4_canonical_forms() {
        let forms = "1000=1k 2000m=2 1000k=1M 1024Ki=1Mi 2048Mi=2Gi 1073741824=1073741824 0.1=100m 0.5Gi=512Mi 0.1Gi=107374182400m \
            100e-2=1 1e1=10 1000e3=1e6 1.5E9=1500e6 1n=1n -0=0 +0=0 0Ki=0 0.0=0 1500000=1500k 1.5=1500m 1.50=1500m 1.1Gi=1181116006400m \
            1500Mi=1500Mi 1.5Gi=1536Mi 1000Ki=1000Ki 1000G=1T -1.5=-1500m -1Gi=-1Gi 4096Ki=4Mi 1000m=1 1.0=1";
        for form in forms.split_whitespace() {
            let (spelling, want) = form.split_once('=').unwrap();
            check(spelling, want);
        }
    }

    #[test]
    fn o4_odd_but_quick_spellings_are_kept() {
        for spelling in [
            "+1", "+100m", "+1Gi", "007", "01Gi", "5.", "1.Gi", "1E3", "10E0", "1e0", "1e+3",
            "1e3", "12e6", "1e6", "0100Mi", "00100m",
        ] {
            check(spelling, spelling);
        }
    }

    #[test]
    fn o4_errors_and_rounding() {
        assert_eq!(Quantity::parse("abc").unwrap_err(), WRONG_FORMAT);
        assert_eq!(Quantity::parse("1Go").unwrap_err(), WRONG_FORMAT);
        assert_eq!(Quantity::parse("1K").unwrap_err(), WRONG_SUFFIX);
        let mut tiny = Quantity::parse("1n").unwrap();
        tiny.round_up(-3);
        assert_eq!(tiny.canonical(), "1m");
        assert!(Quantity::parse("1500m").unwrap().whole().is_none());
        assert!(Quantity::parse("1Gi").unwrap() > Quantity::parse("1G").unwrap());
        let mut sum = Quantity::parse("100m").unwrap();
        sum.add(&Quantity::parse("0.9").unwrap());
        assert_eq!(sum.canonical(), "1");
    }

    #[test]
    fn o4_binary_amounts_end_where_64_bits_end() {
        for spelling in ["8Ei", "9Ei", "99999999999999999999Ei", "9.5Ei"] {
            check(spelling, "9223372036854775807");
        }
        check("-9Ei", "-9223372036854775807");
        check("7Ei", "7Ei");
    }

    #[test]
    fn o4_sums_of_extremes_end_somewhere() {
        let extremes = [
            "1e1000",
            "-1e1000",
            "0.1",
            "9e-1",
            "1e999",
            "99999999999999999999999999999999",
            "-8Ei",
            "1m",
        ];
        for one in extremes {
            for other in extremes {
                let (mut sum, other) = (
                    Quantity::parse(one).unwrap(),
                    Quantity::parse(other).unwrap(),
                );
                sum.add(&other);
                let (text, _) = (sum.canonical(), sum.ceiling());
                assert!(!text.is_empty());
                sum.sub(&other);
                let _ = (sum.canonical(), sum.thousandths());
                let _ = sum.cmp(&other);
            }
        }
    }
}
