//! The public API against files made byte by byte.

mod bad_input;
mod differences;
mod every_byte;
mod layout;
mod open;
mod prefix;
mod raw;
mod round_trip;
mod versions;
