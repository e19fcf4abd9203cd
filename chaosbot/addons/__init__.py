"""DOOR to mitmproxy: performs the effects that faults return, observes exchanges, answers as the Bot API."""
