//! Images for Raspberry Pis, built as a user builds them and judged by the field's own tools.

mod boot_image;
mod disk;
mod fixture;
mod programs;
