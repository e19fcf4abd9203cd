"""The registry of faults: one file per way to misbehave; each returns effects and performs none."""
