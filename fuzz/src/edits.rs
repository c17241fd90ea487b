//! Something valid that is changed by what the input says: how a signature is tried that no generator can forge.

/// The input as changes, three bytes each: two that select a place, and one that is put there. What comes after a byte
/// of 255 in place of the first is cut off from there on.
pub(crate) fn edited(valid: &[u8], input: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for edit in input.chunks_exact(3).take(16) {
        if bytes.is_empty() {
            return bytes;
        }
        let place = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % bytes.len();
        match edit[0] {
            255 => bytes.truncate(place),
            _ => bytes[place] = edit[2],
        }
    }
    bytes
}
