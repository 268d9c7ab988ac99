//! How much a header from outside may ask for.

/// Bounds on what a header may claim. Passing one is an error, not a shorter answer.
///
/// The defaults are far above the files in use (vocabularies of 262,144 tokens, headers of some
/// ten megabytes, a few thousand tensors) and far below what could hurt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from the start of the file to the end of the tensor list. Default 64 MiB.
    pub header_bytes: u64,
    /// Key-value pairs. Default 65,536.
    pub metadata_count: u64,
    /// Bytes of a key. Default 65,535, the specification's bound.
    pub key_bytes: u64,
    /// Bytes of one string, also of one inside an array. Default 16 MiB.
    pub string_bytes: u64,
    /// Items of one array. Default 16,777,216.
    pub array_items: u64,
    /// Arrays within arrays: 1 allows flat arrays only. Default 8.
    pub nesting: u32,
    /// Dimensions of a tensor; never more than 4, which is all a [`Shape`](crate::Shape) holds.
    /// Default 4.
    pub dims: u32,
    /// Tensors. Default 65,536.
    pub tensor_count: u64,
    /// Bytes of a tensor's name. Default 65,535.
    pub name_bytes: u64,
    /// The smallest alignment accepted, in bytes. Default 8.
    pub min_alignment: u32,
    /// The largest alignment accepted, in bytes. Default 1 MiB.
    pub max_alignment: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 20,
            metadata_count: 1 << 16,
            key_bytes: (1 << 16) - 1,
            string_bytes: 16 << 20,
            array_items: 1 << 24,
            nesting: 8,
            dims: 4,
            tensor_count: 1 << 16,
            name_bytes: (1 << 16) - 1,
            min_alignment: 8,
            max_alignment: 1 << 20,
        }
    }
}
