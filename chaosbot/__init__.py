"""chaosbot breaks webhooks and bots on purpose, before production does.

Importing this package does nothing: no configuration is read, no thread or process starts, no third-party package is
loaded. The verbs live in `chaosbot.cli`, the engines in `chaosbot.addons`, `chaosbot.fuzz` and `chaosbot.load`.
"""

__version__ = "0.2.0"
