//! The documents of the Host Compute Service, made and checked on any system.
//!
//! `schema.rs` is what we write, `fields.rs` which fields there are and since when, `validate.rs` holds
//! a document against that, `render.rs` turns a plan into documents. The service refuses a whole
//! document for one field that it does not know, and says little about which.
//!
//! Sources: Microsoft's HCS schema reference and the schema files of five SDKs; the fields that these
//! leave out, from the documents that hcsshim and WSL send.

mod fields;
mod render;
pub mod schema;
mod validate;

pub use render::{
    AccessGrant, ContainerPart, HcsDocuments, RenderError, render, render_first_schema,
};
pub use validate::{DocumentKind, Problem, validate};
