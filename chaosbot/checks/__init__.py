"""The shelf of checks: resilience assertions over the events of a run."""
