"""The registry of platforms: the language of one webhook sender each."""
