"""The embedded target: a Telegram webhook bot and a market service, healthy or with planted bugs.

Importing this package does nothing. `bugs` names what can be broken, `server` serves, `python -m chaosbot.demo` is the
same as a process of its own. The package imports nothing else of chaosbot, so it can stand in for anybody's bot.
"""
