//! From a plan to artefacts: resolve, fetch, unpack, configure, write.
