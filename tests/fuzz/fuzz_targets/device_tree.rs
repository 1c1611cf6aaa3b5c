//! A flattened device tree, and one laid over another.
#![no_main]

use fortress_boot::device_tree::DeviceTree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(data.len());
    let [one, other] = <[&[u8]; 2]>::from(data.split_at(length)).map(DeviceTree::parse);
    for tree in [&one, &other].into_iter().flatten() {
        assert_eq!(DeviceTree::parse(&tree.to_bytes()).as_ref(), Ok(tree));
    }
    if let (Ok(one), Ok(other)) = (one, other) {
        let _ = one.with_overlay(&other);
        if let Ok(overlay) = one.overlay_to(&other) {
            let _ = one.with_overlay(&overlay);
        }
    }
});
