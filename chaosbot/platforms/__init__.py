"""The registry of platforms: one platform's tongue each."""
