//! The wire format of protobuf: tags, varints, lengths. Knows no message.

/// Appends a varint.
pub(super) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field of bytes: a text, a message, an entry of a map.
pub(super) fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Appends a field of a whole number or a flag.
pub(super) fn number(number: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value, out);
}

/// Appends a field of a double.
pub(super) fn double(number: u32, value: f64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// What a field holds, before anybody knows its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    /// The number of the wire type, as error messages tell it.
    pub(super) fn wire_type(self) -> u8 {
        match self {
            Raw::Varint(_) => 0,
            Raw::Fixed64(_) => 1,
            Raw::Bytes(_) => 2,
            Raw::Fixed32(_) => 5,
        }
    }

    /// A field of bytes.
    pub(super) fn bytes(self, field: &str) -> Result<&'a [u8], String> {
        match self {
            Raw::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(field)),
        }
    }

    /// A text; bytes that are no UTF-8 are replaced, as Go does when it writes them as JSON.
    pub(super) fn text(self, field: &str) -> Result<String, String> {
        Ok(String::from_utf8_lossy(self.bytes(field)?).into_owned())
    }

    /// A whole number.
    pub(super) fn varint(self, field: &str) -> Result<u64, String> {
        match self {
            Raw::Varint(number) => Ok(number),
            other => Err(other.wrong(field)),
        }
    }

    /// The complaint about a field of another wire type than its own.
    pub(super) fn wrong(self, field: &str) -> String {
        format!(
            "proto: wrong wireType = {} for field {field}",
            self.wire_type()
        )
    }
}

/// The fields of a message, in the order in which they stand.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn read_varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(cut)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err("proto: integer overflow".to_owned())
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    /// The next field with its number; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.read_varint()?;
        let number = (tag >> 3) as u32;
        if number == 0 {
            return Err(format!("proto: illegal tag {number} (wire type {tag})"));
        }
        let raw = match tag & 7 {
            0 => Raw::Varint(self.read_varint()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = self.read_varint()?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(self.fixed()?)),
            other => return Err(format!("proto: illegal wireType {other}")),
        };
        Ok(Some((number, raw)))
    }
}

fn cut() -> String {
    "unexpected EOF".to_owned()
}
