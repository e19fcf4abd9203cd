"""Runtime control of a running proxy: Toxiproxy's HTTP contract, and the plan as a resource."""
