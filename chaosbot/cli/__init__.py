"""The command line: one file per verb; parse, build, run, exit code."""
