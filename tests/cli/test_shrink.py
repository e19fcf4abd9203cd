"""The line that runs the smallest plan again."""

from pathlib import Path

from chaosbot.cli.shrink import repeat_line


def test_the_line_holds_what_the_file_does_not_say() -> None:
    assert repeat_line(Path("s/smallest.toml"), 7) == "chaosbot run s/smallest.toml --seed 7"
    line = repeat_line(
        Path("a b.toml"), 7, bugs="no-dedup", port=18101, secret_env="MY_SECRET", allow=("staging.example", "other")
    )
    assert line == (
        "chaosbot run 'a b.toml' --seed 7 --bugs no-dedup --bot-api-port 18101 --secret-env MY_SECRET "
        "--allow-host staging.example --allow-host other"
    )
