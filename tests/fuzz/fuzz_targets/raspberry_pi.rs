//! A disk as the played firmware of a Raspberry Pi reads it: partition table, FAT, `autoboot.txt`,
//! `config.txt`, boot image, kernel.
#![no_main]

use fortress_fuzz::{folder, write};
use fortress_qemu::raspberry_pi::{Board, Situation, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = folder();
    let image = write(folder.path(), "disk.img", data);
    let out = folder.path().join("out");
    for board in [Board::Pi4, Board::Pi5] {
        let mut situation = Situation::new(board);
        situation.newer_stepping = true;
        if let Ok(started) = resolve(&image, &situation, &out) {
            let files = [&started.kernel, &started.device_tree].into_iter();
            let files = files.chain(&started.initrd).chain(&started.overlays);
            for file in files {
                assert_eq!(file.parent(), Some(out.as_path()));
            }
        }
    }
});
