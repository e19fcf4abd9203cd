"""The byte pipe: a relay that passes bytes on and performs byte faults; it knows no HTTP."""
