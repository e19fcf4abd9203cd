"""Folds of a run's events: verdict, terminal, JSON, HTML, JUnit, Markdown, SARIF."""
