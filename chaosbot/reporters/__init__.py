"""The registry of reporters: one file for each format in which a run's report is written."""
