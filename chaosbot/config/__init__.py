"""Files and options that people write, read into frozen values; every error names file and key."""
