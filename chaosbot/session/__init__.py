"""Starts and stops the parts of a run (target, stand-in, proxy, drivers, probes) and writes its run directory."""
