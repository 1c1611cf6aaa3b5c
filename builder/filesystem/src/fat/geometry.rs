//! How a FAT32 is divided up: cluster size, tables, and the smallest size that does.

use super::format::{BootSector, FEWEST_CLUSTERS, FIRST_CLUSTER, MOST_CLUSTERS, SECTOR, TABLES};

/// Fewest sectors before the tables; more make clusters begin at a multiple of 4096 bytes.
const RESERVED_SECTORS: u64 = 32;
/// Cluster sizes that are chosen from, in sectors: pages, or less for small volumes.
const USUAL_CLUSTERS: [u8; 4] = [8, 4, 2, 1];
/// From so many clusters on, larger ones are chosen.
const MANY_CLUSTERS: u64 = 4 << 20;

/// The division of a volume of `sectors`; what is in the volume is not yet told. None if it
/// has too few or too many clusters for a FAT32.
pub(super) fn divide(sectors: u64, sectors_per_cluster: u8) -> Option<BootSector> {
    let cluster = u64::from(sectors_per_cluster);
    // Tables that hold every cluster that there could be if they took no room: they do take it,
    // so a few of their sectors stay unused.
    let clusters = sectors.checked_sub(RESERVED_SECTORS)? / cluster;
    let table = ((clusters + u64::from(FIRST_CLUSTER)) * 4).div_ceil(SECTOR);
    let data = (RESERVED_SECTORS + TABLES * table).next_multiple_of(8);
    let boot = BootSector {
        sectors_per_cluster,
        reserved_sectors: (data - TABLES * table) as u16,
        hidden_sectors: 0,
        sectors: u32::try_from(sectors).ok()?,
        sectors_per_table: u32::try_from(table).ok()?,
        root_cluster: FIRST_CLUSTER,
        volume_id: 0,
        label: [b' '; 11],
    };
    (FEWEST_CLUSTERS..=MOST_CLUSTERS)
        .contains(&boot.clusters())
        .then_some(boot)
}

/// The division with the cluster size asked for, or with the one that suits.
pub(super) fn choose(sectors: u64, sectors_per_cluster: Option<u8>) -> Option<BootSector> {
    if let Some(cluster) = sectors_per_cluster {
        return divide(sectors, cluster);
    }
    let mut chosen = USUAL_CLUSTERS
        .into_iter()
        .find_map(|cluster| divide(sectors, cluster))?;
    while chosen.clusters() > MANY_CLUSTERS && chosen.sectors_per_cluster < 64 {
        match divide(sectors, chosen.sectors_per_cluster * 2) {
            Some(larger) => chosen = larger,
            None => break,
        }
    }
    Some(chosen)
}

/// The smallest volume, in sectors, of at least so many clusters of that size.
pub(super) fn smallest(clusters: u64, sectors_per_cluster: u8) -> u64 {
    let clusters = clusters.max(FEWEST_CLUSTERS);
    let cluster = u64::from(sectors_per_cluster);
    let mut sectors = RESERVED_SECTORS + clusters * cluster;
    loop {
        let missing = match divide(sectors, sectors_per_cluster) {
            Some(boot) => clusters.saturating_sub(boot.clusters()),
            // More than a FAT32 can have, or else not yet enough.
            None if clusters > MOST_CLUSTERS || sectors > u32::MAX.into() => return sectors,
            None => 64,
        };
        if missing == 0 {
            return sectors;
        }
        sectors += missing * cluster;
    }
}

/// The cluster sizes that may be used, in sectors.
pub(super) fn candidates(sectors_per_cluster: Option<u8>) -> Vec<u8> {
    match sectors_per_cluster {
        Some(cluster) => vec![cluster],
        None => USUAL_CLUSTERS.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_does_and_one_cluster_less_does_not() {
        for cluster in [1u8, 2, 4, 8, 64] {
            for clusters in [1, FEWEST_CLUSTERS, 70_000, 1_000_000] {
                let sectors = smallest(clusters, cluster);
                let boot = divide(sectors, cluster).unwrap();
                assert!(boot.clusters() >= clusters.max(FEWEST_CLUSTERS));
                let less = divide(sectors - 128 * u64::from(cluster), cluster);
                assert!(less.is_none_or(|boot| boot.clusters() < clusters));
            }
        }
    }

    #[test]
    fn tables_hold_every_cluster_and_clusters_are_aligned() {
        for sectors in (67_000..2_000_000).step_by(12_345) {
            let boot = choose(sectors, None).unwrap();
            let room = u64::from(boot.sectors_per_table) * SECTOR / 4;
            assert!(room >= boot.clusters() + 2);
            assert!((boot.data_sector() * SECTOR).is_multiple_of(4096));
            let end = boot.data_sector() + boot.clusters() * u64::from(boot.sectors_per_cluster);
            assert!(end <= sectors);
        }
        assert_eq!(choose(60_000, None), None);
        assert_eq!(choose(1 << 20, None).unwrap().sectors_per_cluster, 8);
    }
}
