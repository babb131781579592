//! Which parts of files were found in memory a moment ago.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;

use crate::clock;

/// How long a part that was in memory is believed to be there still, in milliseconds. The kernel
/// drops what was used last at the very end, and a mistake costs a wait for the disk.
const BELIEVED: u64 = 1000;

/// How many parts are known: the hot files of a site. A part that falls on the place of another
/// one is asked for anew.
const PLACES: usize = 256;

/// Parts of files that the kernel had in memory when it was asked, so that it need not be asked
/// before each response. A memory of places, not of files: what it says of a file that was
/// closed and another in its place is as harmless as any other mistake.
#[derive(Debug)]
pub struct Resident {
    places: [Cell<Part>; PLACES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    file: usize,
    last: u64,
    until: u64,
}

impl Part {
    const NONE: Self = Self {
        file: 0,
        last: 0,
        until: 0,
    };
}

impl Default for Resident {
    fn default() -> Self {
        Self {
            places: [const { Cell::new(Part::NONE) }; PLACES],
        }
    }
}

impl Resident {
    /// Whether the part of this file that ends with byte `last` was in memory lately.
    pub fn is_known(&self, file: &Arc<File>, last: u64) -> bool {
        let (place, file) = self.place(file, last);
        let part = place.get();
        part.file == file && part.last == last && clock::millis() < part.until
    }

    /// It was in memory just now.
    pub fn note(&self, file: &Arc<File>, last: u64) {
        let (place, file) = self.place(file, last);
        let until = clock::millis() + BELIEVED;
        place.set(Part { file, last, until });
    }

    fn place(&self, file: &Arc<File>, last: u64) -> (&Cell<Part>, usize) {
        let address = Arc::as_ptr(file).addr();
        // Files are some words apart, parts of one file half a mebibyte.
        let mixed = (address >> 5) as u64 ^ (last >> 19);
        let place = usize::try_from(mixed % PLACES as u64).unwrap_or(0);
        (&self.places[place], address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_from_when_it_is_noted_and_no_other_is() {
        let resident = Resident::default();
        let [one, other] = [(); 2].map(|()| Arc::new(File::open("/dev/null").unwrap()));
        assert!(!resident.is_known(&one, 7));
        resident.note(&one, 7);
        assert!(resident.is_known(&one, 7));
        assert!(!resident.is_known(&one, 8));
        assert!(!resident.is_known(&other, 7));
    }
}
