//! Debian archives: signed indexes, versions, dependency resolution, the lock.
