"""The custom resources as typed, frozen Python values, and their conditions. Pure: no I/O, no clock."""
