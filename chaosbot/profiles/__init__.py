"""The registry of load profiles: shapes of load as pure functions of time."""
