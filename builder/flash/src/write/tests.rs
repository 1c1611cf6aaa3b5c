//! Writing on a disk of memory, which can be unplugged at any step.

use super::*;
use crate::pieces::{self, Piece, Pool};
use crate::read_back::Comparison;
use crate::source::{Failed, Source};
use fortress_verification::Form;
use proptest::prelude::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// What an older system left: nothing may be taken for it.
const OLD: u8 = 0xee;

struct Memory {
    bytes: Mutex<Vec<u8>>,
    /// How many more writes it takes until it is gone.
    left: Mutex<usize>,
    /// A place whose byte it does not keep.
    bad: Option<u64>,
}

impl Memory {
    fn new(size: u64) -> Self {
        Self {
            bytes: Mutex::new(vec![OLD; size as usize]),
            left: Mutex::new(usize::MAX),
            bad: None,
        }
    }

    fn gone(&self) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::NotConnected)?;
        Ok(())
    }

    fn is_bootable(&self) -> bool {
        self.bytes.lock().unwrap()[..FIRST]
            .iter()
            .any(|byte| *byte != 0)
    }
}

impl Medium for Memory {
    fn name(&self) -> &str {
        "memory"
    }
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.gone()?;
        let mut memory = self.bytes.lock().unwrap();
        let start = offset as usize;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        if let Some(bad) = self.bad {
            memory[bad as usize] = 0x55;
        }
        Ok(())
    }
    fn zero(&self, offset: u64, length: u64) -> io::Result<u64> {
        self.write(&vec![0; length as usize], offset)?;
        Ok(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.gone()
    }
    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let memory = self.bytes.lock().unwrap();
        let start = offset as usize;
        bytes.copy_from_slice(&memory[start..start + bytes.len()]);
        Ok(())
    }
    fn data_from(&self, at: u64, _end: u64) -> u64 {
        at
    }
    fn is_there(&self) -> bool {
        true
    }
}

#[derive(Debug)]
enum Stop {
    Disk(Trouble),
    Image,
    Differs(u64),
}

impl From<Failed> for Stop {
    fn from(_: Failed) -> Self {
        Self::Image
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Disk(trouble)
    }
}

/// Erases, writes what is between the ends, reads back.
fn body(image: &File, length: u64, medium: &Memory) -> Result<Ends, Stop> {
    let mut ends = Ends::new(length);
    ends.erase(medium)?;
    let source = || Source::new(image, Form::Image, length).unwrap();
    let pool = Pool::new();
    let mut writer = Writer::new(medium, &mut ends);
    let write = |piece: Piece, at| -> Result<(), Stop> {
        match &piece {
            Piece::Data(loan) => writer.data(loan.bytes(), at)?,
            Piece::Zeros(length) => writer.zeros(at, *length)?,
        }
        Ok(())
    };
    pieces::each(source(), &pool, [write])?;
    writer.finish()?;
    let compare = [(); 2].map(|()| {
        let mut comparison = Comparison::new(medium, &ends);
        move |piece: Piece, at| match comparison.piece(&piece, at)? {
            Some(place) => Err(Stop::Differs(place)),
            None => Ok(()),
        }
    });
    pieces::each(source(), &pool, compare)?;
    Ok(ends)
}

/// An image with data at these places.
fn image(length: u64, places: &[u64]) -> (File, Vec<u8>) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    let mut bytes = vec![0; length as usize];
    for (number, place) in places.iter().enumerate() {
        let byte = number as u8 % 200 + 1;
        bytes[*place as usize] = byte;
        file.write_all_at(&[byte], *place).unwrap();
    }
    (file, bytes)
}

const LENGTH: u64 = (18 << 20) + 512;
const PLACES: [u64; 8] = [
    510,
    5000,
    (1 << 20) + 5,
    (2 << 20) - 1,
    7 << 20,
    (16 << 20) + 1,
    LENGTH - END - 1,
    LENGTH - 1,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_disk_ends_up_as_the_image(
        length in 1_u64..(14 << 20),
        places in proptest::collection::vec(any::<u64>(), 0..40),
        more in 0_u64..(3 << 20),
    ) {
        let places: Vec<u64> = places.iter().map(|place| place % length).collect();
        let (file, bytes) = image(length, &places);
        let medium = Memory::new(length + more);
        let ends = body(&file, length, &medium).unwrap();
        prop_assert!(!medium.is_bootable() || length < FIRST as u64);
        ends.write(&medium).unwrap();
        prop_assert_eq!(ends.compare(&medium).unwrap(), None);
        let memory = medium.bytes.lock().unwrap();
        prop_assert!(memory[..length as usize] == bytes);
        // An older backup of a partition table is gone, and nothing else behind the image.
        let behind = &memory[length as usize..];
        let erased = behind.len().min(END as usize);
        let (kept, erased) = behind.split_at(behind.len() - erased);
        prop_assert!(kept.iter().all(|byte| *byte == OLD));
        prop_assert!(is_zero(erased));
    }
}

#[test]
fn a_disk_that_goes_at_any_step_is_not_bootable() {
    let (file, _) = image(LENGTH, &PLACES);
    let steps = {
        let medium = Memory::new(LENGTH);
        body(&file, LENGTH, &medium).unwrap();
        usize::MAX - *medium.left.lock().unwrap()
    };
    assert!(steps > 8, "{steps}");
    // At the first step it goes before anything was written.
    for step in 1..steps {
        let medium = Memory::new(LENGTH);
        *medium.left.lock().unwrap() = step;
        let stopped = body(&file, LENGTH, &medium);
        match stopped {
            Err(Stop::Disk(trouble)) => {
                assert_eq!(trouble.source.kind(), io::ErrorKind::NotConnected);
            }
            other => panic!("step {step}: {other:?}"),
        }
        assert!(!medium.is_bootable(), "step {step}");
    }
    // Nor is it while the ends are written, until the very last write, after which it waits for the disk.
    for step in 0..5 {
        let medium = Memory::new(LENGTH);
        let ends = body(&file, LENGTH, &medium).unwrap();
        *medium.left.lock().unwrap() = step;
        assert!(ends.write(&medium).is_err());
        assert_eq!(medium.is_bootable(), step == 4, "step {step}");
    }
}

#[test]
fn a_disk_that_does_not_keep_a_byte_is_found_out() {
    let (file, _) = image(LENGTH, &PLACES);
    for bad in [(1 << 20) + 100, 9 << 20, 17 << 20] {
        let mut medium = Memory::new(LENGTH);
        medium.bad = Some(bad);
        match body(&file, LENGTH, &medium) {
            Err(Stop::Differs(place)) => assert_eq!(place, bad),
            Ok(ends) => {
                ends.write(&medium).unwrap();
                assert_eq!(ends.compare(&medium).unwrap(), Some(bad));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut medium = Memory::new(LENGTH);
    medium.bad = Some(600);
    let ends = body(&file, LENGTH, &medium).unwrap();
    ends.write(&medium).unwrap();
    assert_eq!(ends.compare(&medium).unwrap(), Some(600));
}
