"""Starts and stops the parts of a run (target, mock, proxy, drivers, probes) and writes its run directory."""
