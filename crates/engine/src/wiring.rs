//! The whole program, assembled: what an [`Engine`] is made of, and when each part comes to life.
//!
//! The verbs on image files need no store, so the store is opened (and made, where there is none)
//! by the first operation that needs it.

use std::cell::OnceCell;

use volume::{Notice, Store};

use crate::config::Config;
use crate::error::Result;

/// cvol, ready for use by a front end.
pub struct Engine {
    config: Config,
    store: OnceCell<Store>,
}

impl Engine {
    /// An engine for this configuration; touches nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            store: OnceCell::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What opening the store did beyond opening it, for the user to know; nothing where no operation
    /// has needed the store.
    pub fn notices(&self) -> &[Notice] {
        self.store.get().map_or(&[], Store::notices)
    }

    /// The store, opened now if it was not yet. Opening completes or undoes what a crash left.
    pub(crate) fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened = Store::open(self.config.root())?;
        Ok(self.store.get_or_init(|| opened))
    }
}
