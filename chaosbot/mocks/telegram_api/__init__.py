"""A mock of Telegram's Bot API."""
