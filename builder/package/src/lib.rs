//! Reading .deb packages and unpacking them into a tree, and the review of their scripts.
