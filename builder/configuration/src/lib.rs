//! What maintainer scripts would have done, done declaratively on the tree.
