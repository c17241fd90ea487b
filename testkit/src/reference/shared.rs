//! A value that copies of its owner have in common until one of them changes it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Cheap to copy; copied in fact by the first change of one that others have too.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
