//! What no build can avoid: decompressing its packages, and the kernel modules in them.

use anyhow::{Context as _, Result};
use fortress_configuration::modules;
use fortress_package::{Archive, Options, unpack};
use fortress_progress::Silent;
use fortress_tree::{Content, Kind, Spool, Tree, TreePath};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long it takes to decompress the data of packages on all cores, the largest first, and do
/// nothing with it: what `xz -dc > /dev/null` would do.
pub(crate) fn decompress(packages: &[Archive]) -> Result<Duration> {
    each(packages, drain)
}

/// The same by dpkg-deb, as many at once as there are cores; none where there is no dpkg-deb.
pub(crate) fn decompress_with_dpkg(packages: &[Archive]) -> Result<Option<Duration>> {
    let dpkg_deb = || {
        let mut command = Command::new("dpkg-deb");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    if dpkg_deb().arg("--version").status().is_err() {
        return Ok(None);
    }
    let time = each(packages, |path| {
        let status = dpkg_deb().arg("--fsys-tarfile").arg(path).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("dpkg-deb: {status}"))),
        }
    })?;
    Ok(Some(time))
}

/// How long it takes to do something to each package, the largest first, on all cores.
fn each(packages: &[Archive], what: impl Fn(&Path) -> io::Result<()> + Sync) -> Result<Duration> {
    let mut paths: Vec<&Path> = packages.iter().map(|one| one.path.as_path()).collect();
    paths.sort_by_key(|path| Reverse(path.metadata().map_or(0, |file| file.len())));
    let start = Instant::now();
    paths
        .into_par_iter()
        .with_max_len(1)
        .try_for_each(|path| what(path).with_context(|| format!("cannot read {path:?}")))?;
    Ok(start.elapsed())
}

fn drain(path: &Path) -> io::Result<()> {
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path)?);
    file.seek_relative(8)?;
    loop {
        let mut header = [0; 60];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let size = String::from_utf8_lossy(&header[48..58]);
        let size: u64 = size.trim().parse().map_err(io::Error::other)?;
        let mut body = file.by_ref().take(size);
        let name = String::from_utf8_lossy(&header[..16]);
        let mut reader: Box<dyn Read> = match name.trim_end() {
            "data.tar.xz" => {
                let stream = liblzma::stream::Stream::new_stream_decoder(u64::MAX, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(&mut body, stream))
            }
            "data.tar.zst" => Box::new(zstd::stream::read::Decoder::with_buffer(&mut body)?),
            _ => Box::new(io::empty()),
        };
        let mut buffer = vec![0; 512 * 1024];
        while reader.read(&mut buffer)? > 0 {}
        drop(reader);
        io::copy(&mut body, &mut io::sink())?;
        file.seek_relative((size % 2) as i64)?;
    }
}

/// The kernel modules in packages, compressed as they are there, the largest first.
pub(crate) fn modules(packages: &[Archive]) -> Result<Vec<(TreePath, Content)>> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let spool = Spool::new(folder.path())?;
    // Newer kernels have packages of their own for them.
    let kernels = packages.iter().filter(|one| {
        one.name.starts_with("linux-image-") || one.name.starts_with("linux-modules-")
    });
    let kernels: Vec<Archive> = kernels.cloned().collect();
    let mut tree = Tree::new(0);
    unpack(&kernels, &mut tree, &spool, &Options::default(), &Silent)?;
    let mut modules = Vec::new();
    for (path, node) in tree.iter() {
        if let (Kind::File(content), Some(_)) = (&node.kind, path.name().find(".ko.")) {
            modules.push((path.clone(), Content::from(content.read()?)));
        }
    }
    modules.sort_by_key(|(_, content)| Reverse(content.length()));
    Ok(modules)
}

/// How long it takes to decompress modules on all cores, and do nothing with them. A build cannot
/// do without: what a module needs stands in it, and the list of sections stands at its end.
pub(crate) fn decompress_modules(modules: &[(TreePath, Content)]) -> Result<Duration> {
    let start = Instant::now();
    modules
        .par_iter()
        .with_max_len(1)
        .try_for_each(|(path, content)| modules::decompress(path, content).map(drop))?;
    Ok(start.elapsed())
}
