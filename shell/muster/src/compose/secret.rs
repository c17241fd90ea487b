//! Secrets that lie in files of the operator's. Their text never enters an error.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::{Exit, Failure, Result};

const MOST: u64 = 4096;

/// The secret in a file, without the line's end. `what` is what people call it.
pub(crate) fn read(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    let failed = || Failure::new(Exit::Config, format!("the {what} file {} cannot be used", path.display()));
    let file = std::fs::File::open(path).map_err(|error| failed().because(&error))?;
    // Room for all of it: a buffer that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(MOST as usize + 1));
    file.take(MOST).read_to_string(&mut text).map_err(|error| failed().because(&error))?;
    let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() {
        return Err(failed().cause("it is empty"));
    }
    Ok(secret)
}
