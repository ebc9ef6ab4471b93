//! Unstable parts of the interface. Anything here may change or go in any release.
//!
//! [`Advanced`] tunes the algorithms. Its defaults were measured together (docs/adr/0016-picker.md,
//! docs/SLOTS-SIM.md), so a change of one setting is best tried in the simulator first.

use serde::{Deserialize, Serialize};

/// The client library whose session [`Session::with_background`](crate::Session::with_background)
/// takes. Use this path to have its exact version, which may change in any release.
pub use librqbit;
pub use playswarm_logic::picker::Config as PickerConfig;
pub use playswarm_logic::relay::{Add as AddPolicy, Config as RelayConfig, Delete as DeletePolicy, Distance};
pub use playswarm_logic::slots::{Config as SlotsConfig, Kind as SlotKind};
pub use playswarm_logic::sources::Config as SourcesConfig;

/// Tuning of the algorithms, as [`Config::advanced`](crate::Config::advanced). Unstable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Advanced {
    /// Settings of the picker.
    pub picker: PickerConfig,
    /// Settings of the slot index.
    pub slots: SlotsConfig,
    /// Settings of the trees of live channels.
    pub relay: RelayConfig,
    /// Settings of web seeds and mirrors.
    pub sources: SourcesConfig,
}
