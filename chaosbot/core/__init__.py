"""Frozen values and pure decisions: what everything else speaks in. No I/O, no clock, no chance but `dice`."""
