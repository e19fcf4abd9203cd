"""`python -m chaosbot`: the same as `chaosbot`."""

from chaosbot.cli import main

if __name__ == "__main__":
    main()
