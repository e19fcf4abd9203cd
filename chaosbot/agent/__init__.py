"""What runs inside a target that chaosbot started with `--guide`: standard library only, on any Python from 3.8, importing nothing of chaosbot.

`path/sitecustomize.py` is found by the target's interpreter and loads the two other files by their place; `code.py` reads source files,
`agent.py` watches what runs and tells it over a Unix socket. Whatever fails here, the target runs on without it.
"""
