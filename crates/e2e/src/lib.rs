//! End-to-end tests of cvol: the built command and the image library against tools that others
//! wrote. The crate has no code of its own; see `tests/it/`.
