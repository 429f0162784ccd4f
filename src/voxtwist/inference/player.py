"""Playing a sound file with whatever the machine has."""

import shutil
import subprocess
from pathlib import Path

PLAYERS = {
    "ffplay": ["-nodisp", "-autoexit", "-loglevel", "quiet"],
    "paplay": [],
    "aplay": ["-q"],
    "afplay": [],
}


def find_player() -> list[str] | None:
    """The command of the first player that is installed, without the file; None: there is none."""
    for name, options in PLAYERS.items():
        path = shutil.which(name)
        if path:
            return [path, *options]
    return None


def play(player: list[str], file: Path) -> bool:
    """Play to the end; whether that worked (it does not on a machine without a sound card)."""
    done = subprocess.run(
        [*player, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0
