//! On macOS a library with symbols that only the interpreter has is linked with a flag of its own.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
