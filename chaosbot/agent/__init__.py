"""What runs inside a target that chaosbot started with `--guide`: standard library only, on any Python from 3.8 or Node.js from 18.19, importing nothing of chaosbot.

In Python, `path/sitecustomize.py` is found by the target's interpreter and loads the two other files by their place; `code.py` reads source files,
`agent.py` watches what runs and tells it over a Unix socket. In Node.js, `node/begin.cjs` is loaded first: `node/loading.cjs` has the program's modules
counted by `node/instrument.cjs`, and a thread with `node/agent.cjs` reads the counters, sources by `node/code.cjs`, and tells the same. Whatever fails here, the target runs on without it.
"""
