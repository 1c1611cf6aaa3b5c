//! Prints how long unpacking packages takes, next to decompressing the same packages and doing
//! nothing with it, on the same threads:
//!
//!     cargo run --release -p fortress-package --example unpack-ratio -- FOLDER

use fortress_package::{Archive, Options, unpack};
use fortress_progress::Silent;
use fortress_tree::{Spool, Tree};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err("which folder has the packages?".into());
    };
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let bytes = std::fs::read(&path)?;
            archives.push(Archive {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into(),
                sha256: Some(Sha256::digest(&bytes).into()),
                path,
            });
        }
    }
    archives.sort_by_key(|archive| {
        std::cmp::Reverse(std::fs::metadata(&archive.path).map_or(0, |file| file.len()))
    });
    let mut ratios = Vec::new();
    for round in 1..=5 {
        let floor = decompress(&archives)?;
        let (ours, nodes, bytes) = whole(&archives)?;
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        println!(
            "round {round}: decompress {floor:.2?}, unpack {ours:.2?} \
             ({nodes} nodes, {bytes} bytes of spool), ratio {ratio:.3}"
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios[ratios.len() / 2]);
    Ok(())
}

/// Unpacks into a tree.
fn whole(archives: &[Archive]) -> Result<(Duration, usize, u64), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let start = Instant::now();
    let spool = Spool::new(directory.path())?;
    let mut tree = Tree::new(0);
    unpack(archives, &mut tree, &spool, &Options::default(), &Silent)?;
    Ok((start.elapsed(), tree.count(), spool.length()))
}

/// Decompresses data.tar of each, the largest first, as `xz -dc > /dev/null` would.
fn decompress(archives: &[Archive]) -> Result<Duration, Box<dyn Error>> {
    let paths: Vec<&PathBuf> = archives.iter().map(|archive| &archive.path).collect();
    let start = Instant::now();
    let results: Vec<std::io::Result<u64>> = paths
        .par_iter()
        .with_max_len(1)
        .map(|path| drain(path))
        .collect();
    for result in results {
        result?;
    }
    Ok(start.elapsed())
}

fn drain(path: &Path) -> std::io::Result<u64> {
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path)?);
    let mut total = 0;
    file.seek_relative(8)?;
    loop {
        let mut header = [0; 60];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(total),
            other => other?,
        }
        let size = String::from_utf8_lossy(&header[48..58]);
        let size: u64 = size.trim().parse().map_err(std::io::Error::other)?;
        let mut body = file.by_ref().take(size);
        let name = String::from_utf8_lossy(&header[..16]);
        let mut reader: Box<dyn Read> = match name.trim_end() {
            "data.tar.xz" => {
                let stream = liblzma::stream::Stream::new_stream_decoder(u64::MAX, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(&mut body, stream))
            }
            "data.tar.zst" => Box::new(zstd::stream::read::Decoder::with_buffer(&mut body)?),
            _ => Box::new(std::io::empty()),
        };
        let mut buffer = vec![0; 512 * 1024];
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                length => total += length as u64,
            }
        }
        drop(reader);
        std::io::copy(&mut body, &mut std::io::sink())?;
        file.seek_relative((size % 2) as i64)?;
    }
}
