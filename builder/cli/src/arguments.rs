//! What the command line takes: the commands, and what they share in `options`.

use crate::commands::{
    attach, boards, completions, doctor, flash, image, keys, lock, manual, pack, plan, recipes,
    sign, store, test, verify,
};
use crate::options::Global;
use clap::{Parser, Subcommand};

/// Exit codes, as `--help` and the manual tell them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done, or the boot test passed
  1    the command failed
  2    the command line is wrong
  3    a recipe, board, base or overlay is wrong
  4    inputs cannot be had, or are not what they claim to be
  10   boot test: a check failed
  11   boot test: no report came in time
  12   boot test: the machine crashed
  13   boot test: it could not be run
  14   boot test: the image was changed
  20   not signed by you: a signature is missing, wrong, or by another key
  21   damaged: an image is not what its manifest says
  22   not one of ours: no image that fortress-build made
  130  interrupted";

const EXAMPLES: &str = "\
Examples:
  fortress-build image --board x86 --base debian-13 --test
  fortress-build plan --board x86 | less
  fortress-build test output/host_0.1.0_x86_debian-13.img";

/// Builds dm-verity protected disk images from TOML recipes, and boots them to prove it.
///
/// Needs no root and no other program: only the boot test uses QEMU ('fortress-build doctor' says
/// what it lacks).
#[derive(Debug, Parser)]
#[command(name = "fortress-build", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Image(image::Options),
    Sign(sign::Options),
    Attach(attach::Options),
    Flash(flash::Options),
    Verify(verify::Options),
    Pack(pack::Options),
    Test(test::Options),
    Plan(plan::Options),
    Boards(boards::Options),
    Recipes(recipes::Options),
    Lock(lock::Options),
    Keys(keys::Options),
    Store(store::Options),
    Doctor(doctor::Options),
    Completions(completions::Options),
    Manual(manual::Options),
}
