//! Raspberry Pis: what their firmware starts from.

use crate::seal::Boot;
use crate::{Error, Result};

/// Writes the boot partitions.
pub(crate) fn write(boot: &Boot<'_>) -> Result<()> {
    Err(Error::Firmware {
        board: boot.plan.board.name.value.clone(),
        firmware: "raspberry-pi".into(),
    })
}
