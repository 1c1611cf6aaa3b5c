//! A small EFI program.

/// A PE32+ image with three sections and an empty directory of signatures.
pub fn efi_program() -> Vec<u8> {
    let mut file = vec![0u8; 0x200];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664u16.to_le_bytes());
    put(0x46, &3u16.to_le_bytes());
    let directories = 6;
    let optional = 112 + directories * 8;
    put(0x54, &(optional as u16).to_le_bytes());
    let header = 0x58;
    put(header, &0x20bu16.to_le_bytes());
    put(header + 32, &0x1000u32.to_le_bytes());
    put(header + 36, &0x200u32.to_le_bytes());
    put(header + 56, &0x4000u32.to_le_bytes());
    put(header + 60, &0x200u32.to_le_bytes());
    put(header + 108, &(directories as u32).to_le_bytes());
    let sections: [&[u8]; 3] = [b".osrel", b".cmdline", b".linux"];
    for (index, name) in sections.into_iter().enumerate() {
        let at = header + optional + index * 40;
        put(at, name);
        put(at + 8, &100u32.to_le_bytes());
        put(at + 12, &(0x1000 * (index as u32 + 1)).to_le_bytes());
        put(at + 16, &0x200u32.to_le_bytes());
        put(at + 20, &(0x200 * (index as u32 + 1)).to_le_bytes());
    }
    file.resize(0x800, b'x');
    file
}
