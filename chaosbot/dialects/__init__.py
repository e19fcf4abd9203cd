"""The shelf of dialects: one platform's tongue each."""
