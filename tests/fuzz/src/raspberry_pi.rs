//! A disk that a Raspberry Pi would start from, as small as there can be one: an MBR and a FAT12.

const SECTOR: usize = 512;
const FIRST: usize = 8;
const RESERVED: usize = 1;
const TABLE: usize = 3;
const ROOT_ENTRIES: usize = 32;
const CLUSTERS: usize = 500;

/// Files in the root directory, their names as they stand there (`CONFIG  TXT`).
pub fn boot_disk(files: &[(&[u8; 11], &[u8])]) -> Vec<u8> {
    let data = RESERVED + TABLE + ROOT_ENTRIES * 32 / SECTOR;
    let sectors = data + CLUSTERS;
    let mut disk = vec![0u8; (FIRST + sectors) * SECTOR];
    let record = &mut disk[446..462];
    record[4] = 0x0c;
    record[8..12].copy_from_slice(&(FIRST as u32).to_le_bytes());
    record[12..16].copy_from_slice(&(sectors as u32).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let volume = &mut disk[FIRST * SECTOR..];
    volume[0] = 0xeb;
    volume[11..13].copy_from_slice(&(SECTOR as u16).to_le_bytes());
    volume[13] = 1;
    volume[14..16].copy_from_slice(&(RESERVED as u16).to_le_bytes());
    volume[16] = 1;
    volume[17..19].copy_from_slice(&(ROOT_ENTRIES as u16).to_le_bytes());
    volume[19..21].copy_from_slice(&(sectors as u16).to_le_bytes());
    volume[22..24].copy_from_slice(&(TABLE as u16).to_le_bytes());
    volume[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut next = 2;
    for (index, (name, content)) in files.iter().enumerate() {
        let count = content.len().div_ceil(SECTOR);
        let first = if count == 0 { 0 } else { next };
        for cluster in next..next + count {
            let following = if cluster + 1 == next + count {
                0xfff
            } else {
                cluster + 1
            };
            let at = RESERVED * SECTOR + cluster * 3 / 2;
            let old = usize::from(volume[at]) | usize::from(volume[at + 1]) << 8;
            let new = match cluster % 2 {
                0 => old & 0xf000 | following,
                _ => old & 0x000f | following << 4,
            };
            volume[at..at + 2].copy_from_slice(&(new as u16).to_le_bytes());
        }
        let at = (data + next - 2) * SECTOR;
        volume[at..at + content.len()].copy_from_slice(content);
        next += count;
        let entry = (RESERVED + TABLE) * SECTOR + index * 32;
        volume[entry..entry + 11].copy_from_slice(*name);
        volume[entry + 26..entry + 28].copy_from_slice(&(first as u16).to_le_bytes());
        volume[entry + 28..entry + 32].copy_from_slice(&(content.len() as u32).to_le_bytes());
    }
    disk
}
