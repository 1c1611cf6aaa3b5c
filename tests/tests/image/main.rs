//! The bench image, built as a user builds it and judged by the field's own tools.

mod disk;
mod documents;
mod fixture;
mod programs;
mod root;
