"""Everything of mitmproxy that is not its documented interface: the core without a Master, connections, the HTTP layer."""
