"""DOOR to trio: pacer, arrivals, journeys and the hot client; frames every second."""
