//! Values with units, as settings write them: "10s", "64KiB", "100/m".
