//! Signatures that were made elsewhere, or later, are put into an image that was built without them.
//!
//! What is done is what a build does: the image is sealed again, by a signer that knows signatures by
//! what they sign. Some signatures cover others, so it goes in rounds: what depends on a signature
//! that is missing is asked for once that one is there.

use crate::documents;
use crate::image::check;
use crate::manifest::Manifest;
use crate::{Error, Result, facts, publish, seal};
use fortress_disk::verity::{self, RootHash};
use fortress_disk::{ImageFile, Region};
use fortress_progress::{Observer, Unit};
use fortress_recipe::PartitionKind;
use fortress_trust::{Blank, Collected, PublicKeys, Requests, Role, Signatures, Signer};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Most bytes of a document that is read.
const LONGEST_DOCUMENT: u64 = 64 << 20;

/// What is to be put into which image.
#[derive(Clone, Copy)]
pub struct Join<'a> {
    /// The image; its documents lie beside it.
    pub image: &'a Path,
    /// Public halves of the keys that the image was built for.
    pub keys: &'a PublicKeys,
    /// Signatures that were made elsewhere.
    pub signatures: &'a Signatures,
    /// Who makes those that are missing.
    pub signer: &'a dyn Signer,
    /// The roles whose keys that signer has; what others are to sign is asked for.
    pub holds: &'a [Role],
    /// Who is told of the progress.
    pub observer: &'a dyn Observer,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The manifest, as it is now.
    pub manifest: Manifest,
    /// Where it is.
    pub manifest_path: PathBuf,
    /// How many signatures there are.
    pub signatures: usize,
    /// What is still to be signed; none when all signatures are in their places.
    pub requests: Option<Pending>,
}

/// What there is, and what is missing, while signatures are missing.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Those that are there.
    pub signatures: Signatures,
    /// What is to be signed next.
    pub requests: Requests,
    /// Where the signatures are kept until the next time.
    pub signatures_path: PathBuf,
    /// Where the requests go.
    pub requests_path: PathBuf,
}

impl Pending {
    /// Writes both beside the image.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self) -> Result<()> {
        let signatures = self.signatures.to_json();
        publish::write(&self.signatures_path, signatures.as_bytes())?;
        publish::write(&self.requests_path, self.requests.to_json().as_bytes())
    }
}

/// Puts signatures into an image. As long as one is missing, everything stays as it is.
///
/// # Errors
/// When the image was built for other keys, is not what its manifest says, a signature is wrong, or
/// a file cannot be read or written.
pub fn join(join: &Join<'_>) -> Result<Joined> {
    let beside = Beside::of(join.image)?;
    let manifest_path = beside.path(documents::MANIFEST);
    let manifest =
        Manifest::from_json(&read(&manifest_path)?).map_err(|error| Error::Document {
            path: manifest_path.clone(),
            reason: error.to_string(),
        })?;
    same_keys(&manifest, join.keys, join.image)?;
    let sbom_path = beside.path(documents::SBOM);
    let sbom = String::from_utf8(read(&sbom_path)?).map_err(|error| Error::Document {
        path: sbom_path,
        reason: error.to_string(),
    })?;

    let stage = join.observer.stage("sign", None, Unit::Items);
    stage.doing("copy of the image");
    let image = copy(join.image, &manifest)?;
    check(join.observer)?;
    stage.doing("what the image holds");
    must_be_what_was_built(&image, &manifest, join)?;
    check(join.observer)?;

    let mut known = beside.signatures()?;
    known.extend(join.signatures.clone());
    loop {
        stage.doing("signatures");
        let collected = Collected::new(join.keys, known.clone());
        let mut sealed = manifest.clone();
        seal::sign(image.file(), &mut sealed, join.keys, &collected)?;
        let texts = documents::all(&sealed, &sbom, join.keys, &collected)?;
        check(join.observer)?;
        let requests = collected.requests()?;
        let used = collected.used();
        if requests.is_empty() {
            let path = publish::joined(image, texts, &used)?;
            return Ok(Joined {
                manifest: sealed,
                manifest_path: publish::beside(&path, documents::MANIFEST),
                signatures: used.len(),
                requests: None,
            });
        }
        let mut held = false;
        for (request, _) in requests.iter() {
            if join.holds.contains(&request.role) {
                check(join.observer)?;
                let signature = join.signer.sign(&request.borrow())?;
                known.insert(&request.borrow(), &signature);
                held = true;
            }
        }
        if !held {
            return Ok(Joined {
                manifest,
                manifest_path,
                signatures: used.len(),
                requests: Some(Pending {
                    signatures_path: beside.path(documents::SIGNATURES),
                    requests_path: beside.path(documents::REQUESTS),
                    signatures: used,
                    requests,
                }),
            });
        }
    }
}

/// The documents beside an image.
struct Beside {
    folder: PathBuf,
    stem: String,
}

impl Beside {
    fn of(image: &Path) -> Result<Self> {
        let name = image.file_name().and_then(|name| name.to_str());
        let stem = name.and_then(|name| name.strip_suffix(".img"));
        let stem = stem.ok_or_else(|| Error::Document {
            path: image.to_owned(),
            reason: "an image's name ends in .img".into(),
        })?;
        Ok(Self {
            folder: image.parent().unwrap_or(Path::new("")).to_owned(),
            stem: stem.to_owned(),
        })
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.stem))
    }

    /// The signatures of earlier rounds.
    fn signatures(&self) -> Result<Signatures> {
        let path = self.path(documents::SIGNATURES);
        match read(&path) {
            Ok(bytes) => Ok(Signatures::from_json(&bytes)?),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(Signatures::default())
            }
            Err(error) => Err(error),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::io("read", path, source);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST_DOCUMENT {
        return Err(Error::Document {
            path: path.to_owned(),
            reason: format!("it is {length} bytes long"),
        });
    }
    fs::read(path).map_err(failed)
}

/// Refuses keys of another owner: no signature of theirs fits what was built.
fn same_keys(manifest: &Manifest, keys: &PublicKeys, image: &Path) -> Result<()> {
    let given = facts::keys(keys)?;
    for built in &manifest.keys {
        if !given.contains(built) {
            return Err(Error::OtherKeys {
                what: image.display().to_string(),
                role: built.role,
                built: built.sha256.clone(),
                given: given
                    .iter()
                    .find(|one| one.role == built.role)
                    .map(|one| one.sha256.clone()),
            });
        }
    }
    Ok(())
}

/// A copy that becomes the image once it is whole: what is interrupted leaves the image as it was.
fn copy(image: &Path, manifest: &Manifest) -> Result<ImageFile> {
    let failed = |source| Error::io("read", image, source);
    let from = File::open(image).map_err(failed)?;
    let length = from.metadata().map_err(failed)?.len();
    if length != manifest.image.length {
        return Err(Error::Document {
            path: image.to_owned(),
            reason: format!(
                "it is {length} bytes long, and its manifest says {}",
                manifest.image.length
            ),
        });
    }
    let copy = ImageFile::create(image, length)?;
    copy.fill_from(&from)?;
    Ok(copy)
}

/// Refuses an image that is not what its manifest says: whoever signs it would vouch for something
/// that nobody built.
fn must_be_what_was_built(image: &ImageFile, manifest: &Manifest, join: &Join<'_>) -> Result<()> {
    let refused = |what: &str| Error::Damaged {
        path: join.image.to_owned(),
        what: what.to_owned(),
    };
    let mut found = manifest.clone();
    crate::digests::of_partitions(image.file(), &mut found)?;
    if *manifest != found {
        // Signatures may be in it already, if putting them in was interrupted before the manifest
        // was renewed; without them it must be what it was.
        let mut blank = manifest.clone();
        seal::sign(image.file(), &mut blank, join.keys, &Blank)?;
        if let Some(what) = difference(manifest, &blank) {
            return Err(refused(&what));
        }
    }
    let region = |purpose: PartitionKind| {
        let partition = manifest.partition(purpose.as_str());
        partition.map_or(Region::new(0, 0), |partition| partition.region())
    };
    let (data, hash) = (
        region(PartitionKind::Root),
        region(PartitionKind::RootVerity),
    );
    let root_hash: RootHash = manifest.root_hash.parse()?;
    match verity::verify(image.file(), data, hash, &root_hash)?.is_empty() {
        true => Ok(()),
        false => Err(refused("the root file system")),
    }
}

/// The first thing of an image that is not as its manifest has it.
fn difference(manifest: &Manifest, found: &Manifest) -> Option<String> {
    if manifest.image.head_sha256 != found.image.head_sha256 {
        return Some("the partition table".into());
    }
    if manifest.image.tail_sha256 != found.image.tail_sha256 {
        return Some("the backup of the partition table".into());
    }
    let mut partitions = manifest.partitions.iter().zip(&found.partitions);
    partitions
        .find(|(said, found)| said != found)
        .map(|(said, _)| format!("partition {} ({})", said.label, said.purpose))
}
