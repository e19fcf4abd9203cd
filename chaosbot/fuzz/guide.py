"""What the agent inside the target (`chaosbot.agent`) tells: the code that was reached, the words that it waits for, its errors.

Rules:

- Only a target that chaosbot starts itself hears of the agent, by variables of its environment and a socket in a directory of this run.
- What the agent tells belongs to the case whose ids or marker the target's frames hold: a delivery id, a marker, a press, a user, a chat.
- Nothing is judged here. The secret is never a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import socket
import tempfile
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import orjson

import chaosbot.agent
from chaosbot.core.case import Case
from chaosbot.core.event import UNREACHED, CodeReached, LoopBlocked, Noted, TargetRaised, Trouble
from chaosbot.fuzz import process
from chaosbot.journal import write_private
from chaosbot.workers import Worker

if TYPE_CHECKING:
    from chaosbot.fuzz.context import CampaignContext

_AREA: Final = "guide"

_REMEMBERED: Final = 50_000
"""So many ids of cases are known at once."""
_REQUESTS: Final = 500
"""So many cases' requests are known, each up to `_REQUEST` bytes."""
_REQUEST: Final = 8192
_SYNC_S: Final = 2.0
_SEEN_WORDS: Final = 400
"""So many words that were only seen at run time are kept."""
_LONGEST: Final = 120
_SHOWN: Final = 40
_LISTED: Final = 12
_LINE: Final = -1
_VARIABLES: Final = {"python": "PYTHONPATH", "node": "NODE_OPTIONS"}
"""By program, the variable by which it finds the agent."""


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """A constant of the target's code.

    Args:
        kind: What the code does with it (`chaosbot.agent.code`), or ``seen`` where it was a value at run time.
        value: The text or number.
        line: Where.
        function: In which function.
        path: In which file.
    """

    kind: str
    value: str | int | float
    line: int
    function: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Something in the target's code that was reached for the first time.

    Args:
        path: The file.
        function: The function.
        line: The line.
        offset: The jump's place in its code; -1 for a line, less for a part of one.
        case: The case's name; empty where it is not known whose it is.
    """

    path: str
    function: str
    line: int
    offset: int
    case: str = ""


@dataclass
class _File:
    """A source file of the target: its lines by function, its conditional jumps, and which of them were reached."""

    path: str
    lines: Mapping[str, Sequence[int]]
    jumps: Sequence[tuple[int, int, str]]
    hit_lines: set[int] = field(default_factory=set)
    hit_sides: dict[tuple[str, int, int], set[int]] = field(default_factory=lambda: defaultdict(set))


class Guide:
    """The other end of the agent, for one campaign.

    Args:
        include: Packages in site-packages that count as the target's own.
        secret: What must not become a word.
    """

    def __init__(self, include: Sequence[str] = (), secret: str = "") -> None:
        self._include = ",".join(include)
        self._secret = secret
        # A short path: the name of a Unix socket has at most about a hundred characters.
        self._folder = Path(tempfile.mkdtemp(prefix="chaosbot-"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._folder / "guide"))
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._synced: queue.SimpleQueue[tuple[socket.socket, int | None]] = queue.SimpleQueue()
        self._syncs = 0
        self._cases: OrderedDict[str, tuple[int, str, str]] = OrderedDict()
        self._requests: OrderedDict[str, bytes] = OrderedDict()
        self._files: dict[str, _File] = {}
        self._words: dict[tuple[str, str | int | float, str], Word] = {}
        self._seen_words = 0
        self._known: set[tuple[str, str, int, int, int]] = set()
        self._new: list[Novelty] = []
        self._fresh: list[tuple[str, str, int, int, int]] = []
        self._events: list[TargetRaised | LoopBlocked] = []
        self._strays: set[tuple[str, str]] = set()
        self._troubles: list[str] = []
        self._unwatched: dict[str, str] = {}
        self._told = 0
        self._sampler: Worker | None = None
        self.runs = ""
        """What the target runs on, as ``Python 3.13.0``; empty until the agent has told."""
        self.alone = False
        """Whether what is reached can be joined to a case only while that is alone (`one_by_one`)."""
        self._one_by_one = False
        self._only = ("", "")
        self.watches = False
        """Whether the target's code can be watched."""
        self._here = Path.cwd()
        threading.Thread(target=self._accept, name="guide", daemon=True).start()

    def environment(self) -> dict[str, str]:
        """The variables with which the target is started."""
        room = Path(chaosbot.agent.__file__).parent
        found = [str(room / "path"), os.environ.get("PYTHONPATH", "")]
        begin = json.dumps(str(room / "node" / "begin.cjs"))
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(one for one in found if one),
            "NODE_OPTIONS": f"--require {begin} {os.environ.get('NODE_OPTIONS', '')}".strip(),
            "CHAOSBOT_GUIDE": str(self._folder / "guide"),
            "CHAOSBOT_GUIDE_INCLUDE": self._include,
        }

    def close(self) -> None:
        """Ends it; the agent, where the target still runs, switches itself off."""
        if self._sampler is not None:
            self._sampler.kill()
        for one in (self._listener, *list(self._lines)):
            with contextlib.suppress(OSError):  # the other end was quicker
                one.shutdown(socket.SHUT_RDWR)  # closing alone ends neither an accept nor a read that is under way
            one.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- cases ----------------------------------------------------------------------------------------------------------

    def sending(self, case: Case, exchange: str) -> None:
        """Told of each case that leaves, so that what the agent sees can be joined to it."""
        if self._one_by_one:
            self._only = (case.name, exchange)
        ids = ((3, case.update_id), (3, case.marker), (2, case.callback), (1, case.user), (1, case.chat))
        with self._lock:
            for rank, one in ids:
                if one is not None and len(str(one)) >= 4:
                    self._cases[str(one)] = (rank, case.name, exchange)
                    self._cases.move_to_end(str(one))
            self._requests[case.name] = case.request[:_REQUEST]
            while len(self._requests) > _REQUESTS:
                self._requests.popitem(last=False)
            while len(self._cases) > _REMEMBERED:
                self._cases.popitem(last=False)

    def _whose(self, values: Iterable[object]) -> tuple[str, str]:
        """The case, and its exchange, whose ids are among these values."""
        found = [case for value in values if (case := self._cases.get(str(value))) is not None]
        best = max(found, key=lambda case: case[0], default=(0, *self._only))
        return best[1], best[2]

    @contextlib.contextmanager
    def one_by_one(self) -> Iterator[None]:
        """In here one case is sent after the other, each awaited by ``sync("settle")``: whatever the target does is the last one's doing."""
        self._one_by_one = True
        try:
            yield
        finally:
            self._one_by_one, self._only = False, ("", "")

    def take_back(self) -> bool:
        """Whether something was reached, or failed, for the first time that is not known whose it is; then what was reached counts as new once more."""
        with self._lock:
            raised = (one for one in self._events if isinstance(one, TargetRaised) and not one.meant and not one.case)
            strays = {(one.error, one.frames[0]) for one in raised if one.frames} - self._strays
            self._strays |= strays
            unknown = bool(strays) or any(not one.case for one in self._new)
            if unknown:
                self._known.difference_update(self._fresh)
                self._new.clear()
            self._fresh.clear()
        return unknown and self.sync("undo")

    def sync(self, how: Literal["sync", "rearm", "forget", "settle", "undo"] = "sync") -> bool:
        """Waits until the agent has told everything that has happened so far.

        Args:
            how: ``rearm`` watches also places again that were seen often; ``forget`` counts as new what is reached from now on, whether or not
                it was before; ``settle`` waits a little while the target is at work; ``undo`` counts as new once more what the last
                one told.

        Returns:
            Whether it has; false where no agent is there.
        """
        if how == "forget":
            with self._lock:
                self._known.clear()
                self._new.clear()
        with contextlib.suppress(OSError):  # it is being closed
            self._welcome()
        self._syncs += 1
        asked = {line for line in list(self._lines) if _ask(line, f"{how} {self._syncs}\n")}
        until = monotonic() + _SYNC_S
        answered = 0
        while asked:
            try:
                line, number = self._synced.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                return False
            if number in (self._syncs, None) and line in asked:
                asked.remove(line)
                answered += number is not None
        return answered > 0

    def novelties(self) -> list[Novelty]:
        """What was reached for the first time since the last time that it was asked for."""
        with self._lock:
            new, self._new = self._new, []
            self._fresh.clear()
        return new

    # -- what is known --------------------------------------------------------------------------------------------------

    def words(self) -> list[Word]:
        """The dictionary, sorted."""
        with self._lock:
            return sorted(self._words.values(), key=lambda one: (one.path, one.line, one.kind, str(one.value)))

    @property
    def size(self) -> int:
        """How many words there are by now."""
        return len(self._words)

    def commands(self) -> list[str]:
        """The commands that stand in the code, with slash."""
        return list(dict.fromkeys(str(one.value) for one in self.words() if one.kind == "command"))

    def draw_samples(self, seed: int) -> None:
        """Begins to draw texts that match the regular expressions of the dictionary, in another process."""
        patterns = sorted({str(word.value) for word in self.words() if word.kind == "regex"})
        self._sampler = (
            Worker("guide's texts", "chaosbot.fuzz.patterns:match_patterns", patterns, seed) if patterns else None
        )

    def samples(self, within_s: float) -> Mapping[str, Sequence[str]]:
        """By regular expression, texts that match it.

        Raises:
            WorkerDied: The process that draws them ended, or took longer.
        """
        found: Mapping[str, Sequence[str]] = self._sampler.ready(within_s) if self._sampler is not None else {}
        return found

    def reached(self) -> tuple[int, int, int, int]:
        """Lines reached and lines; sides of branches reached and sides."""
        with self._lock:
            files = list(self._files.values())
            lines = {(one.path, line) for one in files for found in one.lines.values() for line in found}
            hit = {(one.path, line) for one in files for line in one.hit_lines} & lines
            sides = sum(2 * len(one.jumps) for one in files)
            return len(hit), len(lines), sum(min(2, len(s)) for one in files for s in one.hit_sides.values()), sides

    def unreached(self) -> list[tuple[str, str, list[int]]]:
        """Lines that nothing reached, by file and function; functions of which nothing ran come first."""
        with self._lock:
            found = [
                (self._short(one.path), function, [line for line in lines if line not in one.hit_lines])
                for one in self._files.values()
                for function, lines in one.lines.items()
            ]
        return sorted((one for one in found if one[2]), key=lambda one: (-len(one[2]), one))

    def _short(self, path: str) -> str:
        """A path as every machine has it: from the current directory, or with its folder's name."""
        return (
            os.path.relpath(path, self._here)
            if Path(path).is_relative_to(self._here)
            else "/".join(path.split("/")[-2:])
        )

    def lcov(self) -> str:
        """Coverage as an lcov file."""
        rows: list[str] = []
        with self._lock:
            for one in self._files.values():
                rows += ["TN:chaosbot", f"SF:{one.path}"]
                for number, (line, offset, function) in enumerate(sorted(one.jumps)):
                    sides = len(one.hit_sides.get((function, line, offset), ()))
                    rows += [f"BRDA:{line},{number},{side},{int(side < sides) if sides else '-'}" for side in (0, 1)]
                lines = sorted({line for found in one.lines.values() for line in found})
                rows += [f"DA:{line},{int(line in one.hit_lines)}" for line in lines]
                rows += [f"LF:{len(lines)}", f"LH:{len(one.hit_lines & set(lines))}", "end_of_record"]
        return "\n".join(rows) + "\n"

    # -- the report -----------------------------------------------------------------------------------------------------

    def tell_start(self, context: CampaignContext) -> None:
        """Says what can be seen of the target from inside, and begins to draw texts for its expressions."""
        if not self.sync():
            why = "" if self._unloaded() else process.why_unwatched(context.target.pids, _VARIABLES)
            text = f"there is no agent inside the target{why and f' ({why})'}: the campaign runs without the guide"
        elif not self.watches:
            text = f"the target runs on {self.runs}, whose code cannot be watched (that needs 3.12 or later, and no debugger or other tool in its place); its {len(self.words())} words are used all the same"
        else:
            text = f"the agent watches the target's code ({self.runs}): {self.reached()[1]} lines, {len(self.words())} words"
        if self.runs:
            self.draw_samples(context.spec.seed)
        context.recorder.emit(Noted(context.recorder.now(), _AREA, text))
        self._tell_troubles(context)
        self._tell_reached(context, "start")

    def tell_stage(self, context: CampaignContext, stage: str) -> None:
        """Writes down what the agent saw of a stage that is over, and whether it could not see."""
        expected = bool(self.runs)  # an agent that says hello from here on was not asked
        answered = self.sync()
        self.take_events(context)
        self._tell_troubles(context)
        if answered:
            self._tell_reached(context, stage)
        elif expected:
            text = f"the agent inside the target did not answer after the stage {stage}; what it saw there may not be complete"
            context.recorder.emit(Noted(context.recorder.now(), _AREA, text))

    def take_events(self, context: CampaignContext) -> list[TargetRaised | LoopBlocked]:
        """Writes down what the agent has told of errors and of blocked loops since the last time."""
        with self._lock:
            events, self._events = self._events, []
        for event in events:
            context.recorder.emit(msgspec.structs.replace(event, t=event.t - context.spec.started))
        return events

    def tell_end(self, context: CampaignContext) -> None:
        """Writes the coverage of the target's code, and names what nothing reached."""
        if not self.watches:
            return
        if context.spec.lcov is not None:
            write_private(context.spec.lcov, self.lcov())
        unreached = self.unreached()
        rows = [{"file": path, "function": function, "lines": lines[:_LISTED]} for path, function, lines in unreached]
        if rows:
            text = f"{sum(len(lines) for *_, lines in unreached)} lines of the target were not reached"
            context.recorder.emit(Noted(context.recorder.now(), UNREACHED, text, {"rows": rows[:_SHOWN]}))

    def _tell_troubles(self, context: CampaignContext) -> None:
        with self._lock:
            troubles, self._troubles = self._troubles, []
            unwatched, self._unwatched = self._unwatched, {}
        for path, why in unwatched.items():
            text = f"what runs of {self._short(path)} is not seen ({why}); its words are used all the same"
            context.recorder.emit(Noted(context.recorder.now(), _AREA, text))
        told = [
            f"the agent inside the target failed ({trouble}); what it has not told is not known" for trouble in troubles
        ]
        unloaded = self._unloaded()
        told += [
            f"the agent could not be loaded inside the target ({why}); that runs without it"
            for why in unloaded[self._told :]
        ]
        self._told = len(unloaded)
        for what in told:
            context.recorder.emit(Trouble(context.recorder.now(), _AREA, what))

    def _unloaded(self) -> list[str]:
        """Why agents could not be loaded: one that cannot be loaded leaves a line in a file beside the socket."""
        try:
            text = (self._folder / "guide.why").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return list(dict.fromkeys(text.splitlines()))

    def _tell_reached(self, context: CampaignContext, stage: str) -> None:
        if self.watches:
            context.recorder.emit(CodeReached(context.recorder.now(), stage, *self.reached()))

    # -- the agent's messages ---------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        # Closed by another thread it is no longer a descriptor, or none that can be accepted from.
        with contextlib.suppress(OSError, ValueError):
            while True:
                select.select([self._listener], [], [])
                self._welcome()

    def _welcome(self) -> None:
        """Takes in every agent that has called; also before one is asked something, since the thread that listens may not have run yet."""
        with self._lock, contextlib.suppress(BlockingIOError):
            while True:
                line, _ = self._listener.accept()
                line.setblocking(True)
                self._lines.append(line)
                threading.Thread(target=self._listen, args=(line,), name="guide-agent", daemon=True).start()

    def _listen(self, line: socket.socket) -> None:
        paths: dict[int, str] = {}
        try:
            with line.makefile("rb") as stream:
                for text in stream:
                    message = orjson.loads(text)
                    with self._lock:
                        self._take(line, message, paths)
        except (OSError, ValueError):
            pass  # the process has ended, perhaps in the middle of a line
        finally:
            self._lines.remove(line)
            self._synced.put((line, None))

    def _take(self, line: socket.socket, message: Mapping[str, Any], paths: dict[int, str]) -> None:
        match message:
            case {"hello": _}:
                self.runs, self.watches = message["runs"], bool(message["monitoring"])
                self.alone = self.alone or bool(message.get("alone"))
            case {"file": number, "path": path}:
                paths[number] = path
                self._files.setdefault(path, _File(path, message["lines"], [tuple(one) for one in message["branches"]]))
                for kind, value, at, function in message["words"]:
                    self._word(Word(kind, value, at, function, path))
            case {"globals": texts, "path": path}:
                for text in texts:
                    self._word(Word("seen", text, 0, "<module>", path))
            case {"hits": hits}:
                for number, function, at, offset, to, values in hits:
                    self._hit(self._files[paths[number]], function, at, offset, to, values)
            case {"seen": texts, "values": values, "function": function, "path": path}:
                self._see(texts, self._whose(values)[0], function, path)
            case {"raised": error}:
                self._raised(error)
            case {"blocked": seconds, "frames": frames}:
                shown = tuple(f"{self._short(path)}:{line} in {name}" for path, line, name in frames)
                case = self._whose(message.get("values", ()))[0]
                self._events.append(LoopBlocked(monotonic(), round(seconds, 2), shown, case))
            case {"synced": number}:
                self._synced.put((line, number))
            case {"unwatched": path, "why": why}:
                self._unwatched[path] = why
            case {"trouble": text}:
                self._troubles.append(text)

    def _word(self, word: Word) -> None:
        if isinstance(word.value, str) and (word.value == self._secret or len(word.value) > _LONGEST):
            return
        self._words.setdefault((word.kind, word.value, f"{word.path}:{word.function}"), word)

    def _hit(self, file: _File, function: str, line: int, offset: int, to: int, values: Sequence[Any]) -> None:
        if offset == _LINE:
            file.hit_lines.add(line)
        elif offset >= 0:
            file.hit_sides[function, line, offset].add(to)
        key = (file.path, function, line, offset, to)
        if key not in self._known:
            self._known.add(key)
            self._fresh.append(key)
            if self.alone and offset >= 0:
                return  # the code that stands there is told as that; the way past it is where everybody goes
            self._new.append(Novelty(file.path, function, line, offset, self._whose(values)[0]))

    def _see(self, texts: Sequence[str], case: str, function: str, path: str) -> None:
        """Takes what is compared with something, but for what the case itself had sent."""
        sent = self._requests.get(case)
        for text in texts if sent is not None else ():
            if text.isascii() and text.encode() not in (sent or b"") and self._seen_words < _SEEN_WORDS:
                before = len(self._words)
                self._word(Word("seen", text, 0, function, path))
                self._seen_words += len(self._words) - before

    def _raised(self, error: Mapping[str, Any]) -> None:
        case, exchange = self._whose(error["values"])
        frames = tuple(f"{self._short(path)}:{line} in {name}" for path, line, name in error["frames"])
        self._events.append(
            TargetRaised(
                monotonic(),
                error["error"],
                error["text"],
                frames,
                bool(error["meant"]),
                self._short(error["handled"]) if error["handled"] else "",
                case,
                exchange,
                error["inner"],
            )
        )


def _ask(line: socket.socket, text: str) -> bool:
    """Asks an agent; false where it is gone."""
    try:
        line.sendall(text.encode())
    except OSError:
        return False
    return True


def by_function(words: Iterable[Word]) -> Iterator[tuple[tuple[str, str], list[Word]]]:
    """Words by file and function."""
    found: dict[tuple[str, str], list[Word]] = defaultdict(list)
    for word in words:
        found[word.path, word.function].append(word)
    return iter(found.items())
