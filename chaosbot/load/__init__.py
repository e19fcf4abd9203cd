"""DOOR to trio: pacer, arrivals, journeys and the hot client; intervals every second."""
