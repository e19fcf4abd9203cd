"""The target's processes seen from outside: who listens, how much they hold, whether they still live. Linux; elsewhere blind."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_ACCEPTS: Final = "00010000"


def listeners_are_seen() -> bool:
    """Whether this system shows what its processes hold."""
    return (_PROC / "net" / "tcp").exists()


def _inodes(place: int | str) -> set[str]:
    """The sockets that listen on this port, or at this path."""
    found: set[str] = set()
    if isinstance(place, str):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / "unix").read_text(errors="replace").splitlines()[1:]:
                fields = line.split(maxsplit=7)
                if fields[3] == _ACCEPTS and fields[7:] == [place]:
                    found.add(f"socket:[{fields[6]}]")
        return found
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == place:
                    found.add(f"socket:[{fields[9]}]")
    return found


def listeners(place: int | str) -> frozenset[int]:
    """The processes that hold a socket listening on this local port, or at this path; empty where that cannot be told."""
    wanted = _inodes(place)
    found: set[int] = set()
    if not wanted:
        return frozenset()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                if str(descriptor.readlink()) in wanted:
                    found.add(int(entry.name))
                    break
    return frozenset(found)


def family(pid: int) -> frozenset[int]:
    """A process and its descendants, as far as they live."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
                    parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid} if pid in parents else set()
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return frozenset(found)


def alive(pids: frozenset[int]) -> bool:
    """Whether all of these processes live (a zombie does not)."""
    for pid in pids:
        try:
            stat = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        if stat.rpartition(")")[2].split()[:1] == ["Z"]:
            return False
    return True


def why_unwatched(pids: frozenset[int], variables: Mapping[str, str]) -> str:
    """Why an agent that is found by variables of the environment is in none of these processes; empty where that cannot be told.

    Args:
        pids: The processes.
        variables: By the beginning of a program's name, the variable by which it finds the agent.
    """
    programs: list[str] = []
    for pid in sorted(pids):
        try:
            name = (_PROC / str(pid) / "exe").readlink().name
            words = (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            held = (_PROC / str(pid) / "environ").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        programs.append(name)
        variable = next((one for begin, one in variables.items() if name.startswith(begin)), "")
        if not variable:
            continue
        if flag := _isolating(words[1:]) if variable == "PYTHONPATH" else "":
            return f"{name} was started with -{flag}, so it loads nothing by its environment"
        if not any(one.startswith(f"{variable}=") and "chaosbot" in one for one in held):
            return f"{name} was started without the {variable} that names the agent"
    known = any(name.startswith(tuple(variables)) for name in programs)
    return (
        ""
        if known or not programs
        else f"it runs {', '.join(dict.fromkeys(programs))}, and the agent is for Python and Node.js"
    )


def _isolating(words: Sequence[str]) -> str:
    """The option by which a Python ignores PYTHONPATH, or loads no sitecustomize; empty where there is none."""
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word[1:2] in ("", "-"):
            break
        options = re.split("[cmWX]", word[1:], maxsplit=1)
        if found := next((letter for letter in options[0] if letter in "IES"), ""):
            return found
        if re.search("[cm]", word):
            break
        if options[1:] == [""]:
            next(left, "")  # the value of -W or -X
    return ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What processes hold together: resident bytes now and at their peak, and open descriptors."""

    resident: int
    peak: int
    descriptors: int


def vitals(pids: frozenset[int]) -> Vitals | None:
    """Reads it; None when nothing can be read."""
    resident = peak = descriptors = 0
    read = False
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines():
                if line.startswith("VmHWM:"):
                    peak += int(line.split()[1]) * 1024
                elif line.startswith("VmRSS:"):
                    resident += int(line.split()[1]) * 1024
                    read = True
            descriptors += sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    return Vitals(resident, max(peak, resident), descriptors) if read else None


def waits(pids: frozenset[int]) -> dict[str, int]:
    """By thread, how long each thread of these processes has waited for a processor so far, in nanoseconds."""
    found: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    found[f"{pid}/{task.name}"] = int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return found


def starved_s(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """How many seconds, between two looks at `waits`, a busy machine took from the thread that waited longest."""
    return max((waited - before.get(thread, 0) for thread, waited in after.items()), default=0) / 1e9


def forget_peaks(pids: frozenset[int]) -> None:
    """Sets the peaks back to what is held now, so that the next peak is the next case's."""
    for pid in pids:
        with contextlib.suppress(OSError):
            (_PROC / str(pid) / "clear_refs").write_text("5", encoding="ascii")
