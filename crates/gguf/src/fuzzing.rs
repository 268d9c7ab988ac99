//! What the fuzz targets of this crate do with their bytes.

use crate::{Array, Header, HeaderSpec, Layout, Limits, Parse, TensorSpec, Value, read_header};

/// A header whole, in pieces and cut short; what is read is written and read again.
pub fn header(data: &[u8]) {
    let (len, limits) = (data.len() as u64, Limits::default());
    let whole = Header::parse(data, Some(len), &limits);
    let pieces = read_header(None, &limits, |range| {
        let (start, end) = (range.start.min(len) as usize, range.end.min(len) as usize);
        Ok(data[start..end.min(start + 97)].to_vec())
    });
    for cut in [len / 3, len.saturating_sub(1)] {
        match Header::parse(&data[..cut as usize], None, &limits) {
            Ok(Parse::NeedMore(needed)) => assert!(needed as u64 > cut, "{needed} of {cut}"),
            Ok(Parse::Done(header)) => assert!(header.tensors.len() as u64 <= cut),
            Err(error) => assert!(error.to_string().len() < 4096, "{error}"),
        }
    }
    match whole {
        Err(error) => assert!(error.to_string().len() < 4096, "{error}"),
        Ok(Parse::NeedMore(_)) => panic!("more is asked for than the file has"),
        Ok(Parse::Done(header)) => {
            let pieces = pieces.expect("in pieces as in one");
            // Numbers that are none differ from themselves.
            assert_eq!(format!("{header:?}").len(), format!("{pieces:?}").len());
            read_all(&header);
            write_again(header);
        }
    }
}

/// Touches every value and every tensor's place.
fn read_all(header: &Header<'_>) {
    for (key, value) in header.metadata.iter() {
        assert!(!key.is_empty());
        if let Value::Array(array) = value {
            items(array, 0);
        }
    }
    for info in &header.tensors {
        assert!(info.offset.checked_add(info.bytes()).is_some());
        assert_eq!(info.shape.rows() * info.shape.cols(), info.shape.elems());
    }
}

fn items(array: &Array<'_>, depth: u32) {
    assert!(depth <= Limits::default().nesting);
    let mut count = 0;
    for item in array {
        if let Value::Array(inner) = &item {
            items(inner, depth + 1);
        }
        count += 1;
    }
    assert_eq!(count, array.len());
}

fn write_again(header: Header<'_>) {
    let pairs = header.metadata.len();
    let written = Layout::new(HeaderSpec {
        version: 3,
        endian: header.endian,
        metadata: header.metadata.clone().into_owned(),
        tensors: header
            .tensors
            .iter()
            .map(|info| TensorSpec {
                name: info.name.clone(),
                shape: info.shape,
                ty: info.ty,
            })
            .collect(),
    });
    let Ok(layout) = written else {
        return;
    };
    let bytes = layout.encode_header();
    let again = Header::parse(&bytes, Some(layout.file_bytes()), &Limits::default());
    let Ok(Parse::Done(again)) = again else {
        panic!("what was written is read: {again:?}");
    };
    assert_eq!(again.metadata.len(), pairs);
    assert_eq!(again.tensors.len(), header.tensors.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeolus_testkit::fuzz_inputs::replay;

    #[test]
    fn header_replays() {
        replay(env!("CARGO_MANIFEST_DIR"), "header", header);
    }
}
