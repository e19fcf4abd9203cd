"""The registry of checks: resilience assertions over the events of a run."""
