//! Files with any numbers in them, right or wrong.

use aeolus_gguf::{
    Array, Endian, FormatError, Header, HeaderSpec, Layout, Limits, Metadata, Parse, Shape,
    TensorSpec, TensorType, Value, ValueType,
};

/// Writes a header field by field.
#[derive(Clone)]
pub struct Raw {
    version: u32,
    endian: Endian,
    pub bytes: Vec<u8>,
}

impl Raw {
    pub fn new(version: u32, endian: Endian, tensors: u64, pairs: u64) -> Self {
        let raw = Self {
            version,
            endian,
            bytes: b"GGUF".to_vec(),
        };
        raw.u32(version).len(tensors).len(pairs)
    }

    /// Version 3, little endian.
    pub fn v3(tensors: u64, pairs: u64) -> Self {
        Self::new(3, Endian::Little, tensors, pairs)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn u32(self, x: u32) -> Self {
        match self.endian {
            Endian::Little => self.raw(&x.to_le_bytes()),
            Endian::Big => self.raw(&x.to_be_bytes()),
        }
    }

    pub fn u64(self, x: u64) -> Self {
        match self.endian {
            Endian::Little => self.raw(&x.to_le_bytes()),
            Endian::Big => self.raw(&x.to_be_bytes()),
        }
    }

    /// A length as wide as the version has it.
    pub fn len(self, x: u64) -> Self {
        match self.version {
            1 => self.u32(x.try_into().unwrap()),
            _ => self.u64(x),
        }
    }

    pub fn string(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        self.len(text.len() as u64).raw(text)
    }

    /// The key and the type of a pair; its value comes next.
    pub fn key(self, key: &str, ty: u32) -> Self {
        self.string(key).u32(ty)
    }

    /// The start of an array value.
    pub fn array(self, ty: u32, len: u64) -> Self {
        self.u32(ty).len(len)
    }

    pub fn tensor(self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Self {
        let mut raw = self.string(name).u32(dims.len() as u32);
        for &dim in dims {
            raw = raw.len(dim);
        }
        raw.u32(ty).u64(offset)
    }

    /// Padding to a multiple of `alignment`, then `n` bytes of data.
    pub fn data(mut self, alignment: usize, n: usize) -> Vec<u8> {
        let start = self.bytes.len().next_multiple_of(alignment);
        self.bytes.resize(start, 0);
        self.bytes.extend((0..n).map(|i| i as u8));
        self.bytes
    }
}

/// Parses a whole file.
pub fn parse(file: &[u8]) -> Result<Header<'_>, FormatError> {
    let len = file.len() as u64;
    match Header::parse(file, Some(len), &Limits::default())? {
        Parse::Done(header) => Ok(header),
        Parse::NeedMore(n) => panic!("{n} bytes needed of a file of {len}"),
    }
}

/// One of every kind of value.
pub fn all_values() -> Vec<(&'static str, Value<'static>)> {
    let nested = [
        Array::from_slice(&[1i16, -2]),
        Array::from_strings(["x", "", "\u{2581}y"]),
    ];
    let nested = Array::from_values(ValueType::Array, nested.map(Value::from)).unwrap();
    let flags = Array::from_values(ValueType::Bool, [true, false].map(Value::from)).unwrap();
    vec![
        ("u8", 0x12u8.into()),
        ("i8", (-3i8).into()),
        ("u16", 0x1234u16.into()),
        ("i16", (-300i16).into()),
        ("u32", 0x1234_5678u32.into()),
        ("i32", (-70_000i32).into()),
        ("f32", 1.5f32.into()),
        ("bool", true.into()),
        ("string", "na\u{ef}ve".into()),
        ("u64", 0x1234_5678_9abc_def0u64.into()),
        ("i64", i64::MIN.into()),
        ("f64", (-0.0f64).into()),
        ("flags", flags.into()),
        ("scores", Array::from_f32s(&[0.0, -1.0]).into()),
        ("nested", nested.into()),
        ("empty", Array::from_strings::<&str>([]).into()),
    ]
}

/// A small file with every kind of value and three tensors, laid out by the writer, data
/// included.
pub fn good_file(version: u32, endian: Endian) -> (Vec<u8>, u64) {
    let tensor = |name: &str, dims: &[u64], ty| TensorSpec {
        name: name.into(),
        shape: Shape::from_gguf(dims).unwrap(),
        ty,
    };
    let layout = Layout::new(HeaderSpec {
        version,
        endian,
        metadata: all_values().into_iter().collect::<Metadata>(),
        tensors: vec![
            tensor("a.weight", &[5, 3], TensorType::F32),
            tensor("b.weight", &[256, 2], TensorType::Q4_K),
            tensor("c", &[1], TensorType::I8),
        ],
    })
    .unwrap();
    let mut file = layout.encode_header();
    file.resize(layout.file_bytes() as usize, 0xab);
    (file, layout.header_bytes())
}
