"""DOOR to Hypothesis: campaigns of cases, shrunk and bucketed findings, corpus, replay."""
