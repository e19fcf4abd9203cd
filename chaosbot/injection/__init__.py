"""The rule engine: decides which armed faults meet a connection or an exchange, and counts what became of them."""
