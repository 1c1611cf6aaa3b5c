//! Microsoft's certificates, from `keys/microsoft/`.

use crate::{Certificate, Result};
use uuid::{Uuid, uuid};

/// The number by which Microsoft asks to name it in signature lists.
pub(super) const MICROSOFT: Uuid = uuid!("77fa9abd-0359-4d32-bd60-28f4e78f784b");

/// A certificate of Microsoft's. When they expire does not matter: firmware does not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Microsoft {
    /// Microsoft Corporation KEK CA 2011: changes db and dbx.
    KekCa2011,
    /// Microsoft Corporation KEK 2K CA 2023: changes db and dbx.
    Kek2kCa2023,
    /// Microsoft Corporation UEFI CA 2011: option ROMs, others' boot loaders.
    UefiCa2011,
    /// Microsoft UEFI CA 2023: others' boot loaders.
    UefiCa2023,
    /// Microsoft Windows Production PCA 2011: Windows.
    WindowsProductionPca2011,
    /// Windows UEFI CA 2023: Windows.
    WindowsUefiCa2023,
}

impl Microsoft {
    /// Those for the KEK.
    pub const KEK: [Self; 2] = [Self::KekCa2011, Self::Kek2kCa2023];
    /// Those for db.
    pub const DB: [Self; 4] = [
        Self::UefiCa2011,
        Self::UefiCa2023,
        Self::WindowsProductionPca2011,
        Self::WindowsUefiCa2023,
    ];
}

/// A certificate of Microsoft's.
///
/// # Errors
/// When the file that was built in cannot be read.
pub fn microsoft(which: Microsoft) -> Result<Certificate> {
    Certificate::from_pem(match which {
        Microsoft::KekCa2011 => include_str!("../../../../keys/microsoft/kek-ca-2011.pem"),
        Microsoft::Kek2kCa2023 => include_str!("../../../../keys/microsoft/kek-2k-ca-2023.pem"),
        Microsoft::UefiCa2011 => include_str!("../../../../keys/microsoft/uefi-ca-2011.pem"),
        Microsoft::UefiCa2023 => include_str!("../../../../keys/microsoft/uefi-ca-2023.pem"),
        Microsoft::WindowsProductionPca2011 => {
            include_str!("../../../../keys/microsoft/windows-production-pca-2011.pem")
        }
        Microsoft::WindowsUefiCa2023 => {
            include_str!("../../../../keys/microsoft/windows-uefi-ca-2023.pem")
        }
    })
}
