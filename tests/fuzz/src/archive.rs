//! An archive whose signed index is signed by a key of the fuzzer's own: what is behind the
//! signature is reached by whoever has the key, and by nobody else.

use crate::{folder, write};
use fortress_archive::{Error, Index, LoadOptions, Source};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Digest, Store};
use pgp::armor::Dearmor;
use pgp::composed::{
    CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

/// When the fuzzer's key signs: 2025-11-16. (That it speaks of itself it does now.)
const SIGNED: u32 = 1_763_300_000;

/// What is inside of an armour.
pub fn packets(armour: &[u8]) -> Vec<u8> {
    let mut packets = Vec::new();
    let read = Dearmor::new(armour).read_to_end(&mut packets);
    read.expect("an armour is read");
    packets
}

/// The key, and a client that touches no network.
pub struct Archive {
    key: SignedSecretKey,
    public: Vec<u8>,
    client: Client,
}

impl Default for Archive {
    fn default() -> Self {
        Self::new()
    }
}

impl Archive {
    /// An archive with a key that is the same each time.
    pub fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut parameters = SecretKeyParamsBuilder::default();
        parameters
            .key_type(KeyType::Ed25519)
            .created_at(Timestamp::from_secs(SIGNED - 1000))
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("fuzz".into());
        let parameters = parameters.build().expect("the parameters are sound");
        let key = parameters.generate(&mut random).expect("a key is made");
        let public = SignedPublicKey::from(key.clone());
        let public = public.to_armored_bytes(Default::default());
        let options = ClientOptions {
            offline: true,
            proxies: false,
            ..ClientOptions::default()
        };
        Self {
            key,
            public: public.expect("a key can be written"),
            client: Client::new(options).expect("a client is set up"),
        }
    }

    /// The time at which it is to be judged.
    pub fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs() as i64)
    }

    /// The key, for a ring of pinned keys.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// A text in the cleartext signature framework.
    pub fn sign(&self, text: &str) -> String {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let key = &self.key.primary_key;
        let config = SignatureConfig::from_key(&mut random, key, SignatureType::Text);
        let mut config = config.expect("the key can sign");
        let parts = [
            SubpacketData::SignatureCreationTime(Timestamp::from_secs(SIGNED)),
            SubpacketData::IssuerFingerprint(key.fingerprint()),
        ];
        config.hashed_subpackets = parts
            .into_iter()
            .map(|part| Subpacket::regular(part).expect("a subpacket is made"))
            .collect();
        let signed = CleartextSignedMessage::new(text, config, key, &Password::empty());
        let signed = signed.expect("the text is signed");
        signed
            .to_armored_string(Default::default())
            .expect("it can be written")
    }

    /// The key's packets.
    pub fn packets(&self) -> Vec<u8> {
        packets(&self.public)
    }

    /// The packets of a signature on a text.
    pub fn signature(&self, text: &str) -> Vec<u8> {
        const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
        let signed = self.sign(text);
        let armour = signed.split(BEGIN).nth(1).unwrap_or_default();
        packets(format!("{BEGIN}{armour}").as_bytes())
    }

    /// Loads an index from a signed text as it is, and package indexes beside it.
    ///
    /// # Errors
    /// What [`Index::load`] says.
    pub fn load(&self, release: &str, indexes: &[(&str, &[u8])]) -> Result<Index, Error> {
        let folder = folder();
        write(folder.path(), "dists/fuzz/InRelease", release);
        for (name, content) in indexes {
            write(folder.path(), &format!("dists/fuzz/{name}"), content);
        }
        let sources = [Source {
            name: "fuzz".into(),
            mirrors: vec![format!("file://{}", folder.path().display())],
            suite: "fuzz".into(),
            components: vec!["main".into()],
            keys: vec![self.public.clone()],
            priority: 500,
            ..Source::default()
        }];
        let store = Store::open(&folder.path().join("store")).expect("a store is made");
        let options = LoadOptions {
            now: self.now(),
            offline: false,
        };
        Index::load(&sources, "amd64", &store, &self.client, &options, &Silent)
    }

    /// The text of a signed index that vouches for one package index.
    pub fn release(&self, name: &str, packages: &[u8]) -> String {
        format!(
            "Origin: Fuzz\nSuite: fuzz\nCodename: fuzz\nDate: Sat, 15 Nov 2025 10:12:13 UTC\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/{name}\n",
            Digest::of(packages),
            packages.len()
        )
    }
}
