//! The protocol buffers wire format, as much as a tokenizer file needs.
//!
//! A message is a run of fields, each a varint key (`number << 3 | wire type`) and a value.

/// A field's value by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// What is wrong, with the offset in bytes from the start of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) offset: usize,
    pub(super) problem: &'static str,
}

/// The fields of one message, in order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// Offset of `rest` in the file.
    offset: usize,
}

/// A field: its number, its value, and where its value starts in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Wire<'a>,
    pub(super) offset: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message that starts `offset` bytes into the file.
    pub(super) fn new(message: &'a [u8], offset: usize) -> Self {
        Self {
            rest: message,
            offset,
        }
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, Malformed> {
        Err(Malformed {
            offset: self.offset,
            problem,
        })
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += bytes;
                Ok(taken)
            }
            None => self.fail("a value runs past the end of its message"),
        }
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.take(N)?.first_chunk() {
            Some(chunk) => Ok(*chunk),
            None => self.fail("a value runs past the end of its message"),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.chunk()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return self.fail("a varint exceeds 64 bits");
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.fail("a varint exceeds 10 bytes")
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let key = self.varint()?;
        let (number, wire) = (key >> 3, key & 7);
        if number == 0 {
            return self.fail("a field has the number 0");
        }
        let mut offset = self.offset;
        let value = match wire {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.chunk()?),
            2 => {
                let length = self.varint()?;
                offset = self.offset;
                Wire::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Wire::Fixed32(self.chunk()?),
            _ => return self.fail("a field has an unknown wire type"),
        };
        Ok(Field {
            number,
            value,
            offset,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(message: &[u8]) -> Result<Field<'_>, &'static str> {
        Fields::new(message, 0)
            .next()
            .unwrap()
            .map_err(|e| e.problem)
    }

    #[test]
    fn every_wire_type() {
        let message = [
            8, 0x96, 1, // 1: varint 150
            17, 1, 2, 3, 4, 5, 6, 7, 8, // 2: 64 bits
            26, 2, b'h', b'i', // 3: bytes
            37, 1, 2, 3, 4, // 4: 32 bits
        ];
        let fields: Vec<_> = Fields::new(&message, 100).map(Result::unwrap).collect();
        let field = |number, value, offset| Field {
            number,
            value,
            offset,
        };
        assert_eq!(
            fields,
            [
                field(1, Wire::Varint(150), 101),
                field(2, Wire::Fixed64([1, 2, 3, 4, 5, 6, 7, 8]), 104),
                field(3, Wire::Bytes(b"hi"), 114),
                field(4, Wire::Fixed32([1, 2, 3, 4]), 117),
            ]
        );
        let minus_one = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(first(&minus_one).unwrap().value, Wire::Varint(u64::MAX));
    }

    #[test]
    fn malformed_messages_end_the_iteration() {
        let past_end = Err("a value runs past the end of its message");
        for (message, expected) in [
            (&[8][..], past_end),
            (&[8, 0x80], past_end),
            (&[17, 1, 2], past_end),
            (&[26, 5, 1], past_end),
            (
                &[26, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                past_end,
            ),
            (&[37, 1, 2, 3], past_end),
            (&[0, 1], Err("a field has the number 0")),
            (&[11], Err("a field has an unknown wire type")),
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
                Err("a varint exceeds 64 bits"),
            ),
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0x81, 0],
                Err("a varint exceeds 10 bytes"),
            ),
        ] {
            assert_eq!(first(message), expected, "{message:?}");
            assert_eq!(Fields::new(message, 0).count(), 1, "{message:?}");
        }
        let error = Fields::new(&[8, 1, 26, 9], 50).nth(1).unwrap().unwrap_err();
        assert_eq!(error.offset, 54);
    }
}
