"""Watches a running Python program from inside and tells chaosbot over a Unix socket, one JSON object a line.

Rules:

- Callbacks do next to nothing and never raise: they put what is new into a queue, which a thread of the agent's own empties.
- What fails in here is told once, where chaosbot can still be told, and does not reach the program.
- A place that was seen is switched off, so that after a while the program runs at its own speed. `rearm` switches all on again, and `forget` has
  them told again.
- Code counts as the program's own when its file lies outside of the standard library and of site-packages, or in a package that
  ``CHAOSBOT_GUIDE_INCLUDE`` names.
- Without chaosbot at the other end, everything is switched off.

Told are: ``hello`` (pid, version, whether code can be watched), ``file`` (a source file with its words, lines and branches), ``hits`` (what
was reached for the first time, with numbers and texts that the frames held), ``seen`` (what the frames held where values are compared),
``raised`` (an error in own code, with what handles it), ``blocked`` (what the event loop waited for), ``trouble`` (what failed in the agent)
and ``synced``.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import faulthandler
import fcntl
import json
import os
import queue
import re
import select
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import IO, Any, cast

Frame = Any
"""A file, a line and a function."""
TICK_S = 0.1
HIGH = 512
"""The number of the agent's descriptor is at least this, and below what `select` can wait for."""
SCAN_S = 0.5
LOOKS = (2, 8)
"""Variables are read when a module has been there so many scans."""
OWN = ("_chaosbot_agent", "_chaosbot_code")
LONG_S = 0.3
"""How long a callback may hold the event loop before it counts as blocking."""
STUCK_S = 5.0
"""What holds it for so long is told before it is over."""
ONE_SIDED = 32
"""A branch that went one way so often is no longer watched."""
MOST_RAISED = 100
"""So many times an error of one place is told."""
PEEKS = 48
LONGEST = 200
OBJECTS = 160
FRAMES = 5
NUMBERS = re.compile(r"\d{6,19}|cbm[0-9a-f]{12}")
BUILTIN = {"LookupError", "TypeError", "AttributeError", "NameError", "ArithmeticError", "ValueError", "AssertionError", "RuntimeError", "Error", "error"}  # fmt: skip
OUTSIDE = {"OSError", "EOFError", "MemoryError", "ImportError", "BufferError"}
"""Errors of Python itself that count too; a package's that derive from them belong to whom it serves."""
NETWORK = {"ConnectionError", "TimeoutError", "BlockingIOError", "InterruptedError"}
"""What somebody else does, and nobody's mistake."""
LIBRARIES = ("site-packages", "dist-packages")
LOOPS = {"uvloop"}
"""Event loops that run callbacks without a frame of asyncio's, by package."""
OUTERMOST = 12
"""So many of a thread's outermost frames are looked at for such a loop."""


def begin(source: Callable[[str], Any]) -> None:
    """Starts the agent where chaosbot says so; `source` reads a source file (`code.Source`)."""
    if os.environ.get("CHAOSBOT_GUIDE"):
        Agent(os.environ["CHAOSBOT_GUIDE"], os.environ.get("CHAOSBOT_GUIDE_INCLUDE", ""), source).begin()


class Agent:
    """The agent of one process.

    Args:
        address: chaosbot's socket.
        include: Names of packages in site-packages that count as own, with commas.
        source: Reads a source file.
    """

    def __init__(self, address: str, include: str, source: Callable[[str], Any]) -> None:
        self.address, self.source = address, source
        self.included = tuple("/" + name.strip().replace(".", "/") + end for name in include.split(",") if name.strip() for end in ("/", ".py"))  # fmt: skip
        paths = sysconfig.get_paths()
        self.system = tuple(os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib"))
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.own: dict[str, str] = {}  # by file name as code objects have it: its real path, or ""
        self.files: dict[str, tuple[int, Any]] = {}  # by real path: its number and its source
        self.codes: dict[int, CodeType] = {}  # by id; the objects are kept so that ids stay theirs
        self.seen: set[tuple[int, int, int]] = set()
        self.sides: dict[tuple[int, int], tuple[int, int]] = {}
        self.raised: dict[tuple[int, int, type], int] = {}
        self.peeks = 0
        self.scanned = 0.0
        self.modules = 0
        self.quiet = 0
        self.scans: dict[str, int] = {}
        self.secrets = {value for value in os.environ.values() if len(value) > 3}
        self.monitoring: Any = getattr(sys, "monitoring", None)
        self.tool: int | None = None
        self.events: tuple[int, ...] = ()
        self.blocked: tuple[object, float, dict[str, Any]] = (None, 0.0, {})
        self.loop: Any = None  # one that is none of asyncio's, with the frame that runs it and its thread
        self.base: FrameType | None = None
        self.thread = 0
        self.beat: object = None  # what the loop was handed last, until it takes it
        self.dump: IO[bytes] | None = None
        self.dumped = self.inode = 0
        self.lost: list[IO[bytes]] = []
        self.failed = False

    def begin(self) -> None:
        """Watches from now on, and connects."""
        if self.monitoring is not None:
            self._watch()
        try:
            self._connect()
        except Exception:
            self.end()
            raise
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.end)

    def _connect(self) -> None:
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.line.settimeout(5)
        self.line.connect(self.address)
        # Out of the way of the numbers that a program gives out anew when it has closed all descriptors, as daemons do.
        with contextlib.suppress(OSError):  # fewer are allowed
            high = fcntl.fcntl(self.line.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH)
            self.line.close()
            self.line = socket.socket(fileno=high)
            self.line.settimeout(5)
        self.inode = os.fstat(self.line.fileno()).st_ino
        self.send, self.receive, self.wait, self.now = self.line.sendall, self.line.recv, select.select, time.monotonic
        version = ".".join(map(str, sys.version_info[:3]))
        self.told.put({"hello": os.getpid(), "runs": f"Python {version}", "monitoring": self.tool is not None})
        _thread.start_new_thread(self._run, ())

    def _forked(self) -> None:
        try:
            self.line.close()
            self.told, self.dump = queue.SimpleQueue(), None
            self.files = {}
            self._connect()
        except Exception:
            self.end()

    def end(self) -> None:
        """Switches everything off."""
        tool, self.tool = self.tool, None
        if tool is not None:
            self.monitoring.set_events(tool, 0)
            for event in self.events:
                self.monitoring.register_callback(tool, event, None)
            for code in self.codes.values():
                self.monitoring.set_local_events(tool, code, 0)
            self.monitoring.free_tool_id(tool)

    def _fail(self, error: Exception) -> None:
        """Tells that something in here failed, the first time; where the program is at the end of its stack, so is what it calls."""
        if not self.failed and not isinstance(error, RecursionError):
            self.failed = True
            self.told.put({"trouble": f"{type(error).__name__}: {error}"[:LONGEST]})

    # -- what runs ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        monitoring = self.monitoring
        self.tool = next((tool for tool in (4, 3) if monitoring.get_tool(tool) is None), None)
        if self.tool is None:
            return
        monitoring.use_tool_id(self.tool, "chaosbot")
        events, off = monitoring.events, monitoring.DISABLE
        sides = [getattr(events, name) for name in ("BRANCH_LEFT", "BRANCH_RIGHT") if hasattr(events, name)]
        local = events.LINE
        for one in sides or [events.BRANCH]:
            local |= one
        codes, seen, count, tool = self.codes, self.seen, self.sides, self.tool
        set_local, frame_of = monitoring.set_local_events, sys._getframe

        def started(code: CodeType, _offset: int) -> Any:
            try:
                if id(code) not in codes and self._path(code.co_filename):
                    codes[id(code)] = code
                    set_local(tool, code, local)
            except Exception as error:
                self._fail(error)
            return off

        def line(code: CodeType, number: int) -> Any:
            try:
                key = (id(code), -1, number)
                if key not in seen:
                    seen.add(key)
                    self._hit(code, number, -1, -1, frame_of(1))
            except Exception as error:
                self._fail(error)
            return off

        def branch(code: CodeType, offset: int, to: int) -> Any:
            try:
                key = (id(code), offset, to)
                if self.peeks:
                    self._peek(code, frame_of(1))
                if key not in seen:
                    seen.add(key)
                    frame = frame_of(1)
                    self._hit(code, frame.f_lineno, offset, to, frame)
                if not sides:  # one event for both ways
                    before, times = count.get(key[:2], (to, 0))
                    count[key[:2]] = (before, times + 1)
                    return off if before != to or times > ONE_SIDED else None
            except Exception as error:
                self._fail(error)
            return off

        def raised(code: CodeType, offset: int, error: BaseException) -> None:
            try:
                if id(code) in codes:
                    self._raised(code, offset, error, frame_of(1))
            except Exception as own:
                self._fail(own)

        hooks = {events.PY_START: started, events.LINE: line, events.RAISE: raised}
        hooks.update((one, branch) for one in sides or [events.BRANCH])
        self.events = tuple(hooks)
        for event, hook in hooks.items():
            monitoring.register_callback(self.tool, event, hook)
        monitoring.set_events(self.tool, events.PY_START | events.RAISE)

    def _path(self, name: str) -> str:
        """The real path of a file of the program's own; empty for others."""
        found = self.own.get(name)
        if found is None:
            path = os.path.realpath(name) if name and name[0] != "<" else ""
            library = any(part in path.split(os.sep) for part in LIBRARIES) or path.startswith(self.system)
            library = library and not any(one in path for one in self.included)
            mine = not path or library or os.path.dirname(path).startswith(os.path.dirname(os.path.abspath(__file__)))
            found = self.own[name] = "" if mine or not os.path.isfile(path) else path
        return found

    def _hit(self, code: CodeType, line: int, offset: int, to: int, frame: FrameType) -> None:
        values = self._values(frame) if code.co_name != "<module>" else ()
        self.told.put(("hit", self._path(code.co_filename), code.co_qualname, line, offset, to, values))

    def _peek(self, code: CodeType, frame: FrameType) -> None:
        path = self._path(code.co_filename)
        known = self.files.get(path)
        names = known[1].compared.get(frame.f_lineno) if known is not None and known[1] is not None else None
        if names:
            self.peeks -= 1
            held = {name: frame.f_locals.get(name, frame.f_globals.get(name)) for name in names}
            told = {"seen": _texts(held, self.secrets), "values": self._values(frame)}
            self.told.put({**told, "function": code.co_qualname, "path": path})

    def _raised(self, code: CodeType, offset: int, error: BaseException, frame: FrameType) -> None:
        names = {one.__name__ for one in type(error).__mro__}
        own = type(error).__module__ == "builtins" and names & OUTSIDE and not names & NETWORK
        if not (names & BUILTIN or own) or "StopAsyncIteration" in names:
            return
        trace = error.__traceback__
        inner: list[CodeType] = []
        while trace is not None:
            inner.append(trace.tb_frame.f_code)
            trace = trace.tb_next
        if any(self._path(one.co_filename) for one in inner[1:]) or (inner and inner[0] is not code):
            return  # it was told where it arose
        place = (id(code), offset, type(error))
        self.raised[place] = times = self.raised.get(place, 0) + 1
        if times > MOST_RAISED:
            return
        deliberate = code.co_code[offset] == RAISES
        frames: list[Frame] = []
        at: FrameType | None = frame
        while at is not None and len(frames) < 40:
            if path := self._path(at.f_code.co_filename):
                frames.append((path, at.f_lineno, at.f_code.co_qualname))
            at = at.f_back
        try:
            text = str(error)[:LONGEST]
        except Exception:
            text = ""  # the program's own way to write it fails
        deepest = inner[-1] if inner else code
        self.told.put(("raised", type(error).__name__, names, text, deliberate, frames, self._values(frame), f"{os.path.basename(deepest.co_filename)}:{deepest.co_name}"))  # fmt: skip

    def _values(self, around: FrameType) -> list[str | int]:
        """Numbers and texts that the frame and those of own code around it hold."""
        found: dict[Any, None] = {}
        left, frames, frame = OBJECTS, 0, cast("FrameType | None", around)
        while frame is not None and frames < FRAMES and left > 0:
            code = frame.f_code
            if code.co_name != "<module>" and self._path(code.co_filename):
                frames += 1
                row: list[tuple[Any, int]] = [(one, 0) for one in list(frame.f_locals.values())]
                known: set[int] = set()
                while row and left > 0:
                    value, depth = row.pop(0)
                    left -= 1
                    kind = type(value)
                    if kind is int:
                        found[value] = None
                    elif kind is str or kind is bytes:
                        text = value if kind is str else value[:4096].decode("utf-8", "replace")
                        if len(text) <= LONGEST:
                            found[text] = None
                        else:
                            found.update(dict.fromkeys(NUMBERS.findall(text[:4096])[:12]))
                    elif depth < 4 and id(value) not in known:
                        known.add(id(value))
                        row += [(one, depth + 1) for one in _inside(value)]
            frame = frame.f_back
        return [one for one in found if one not in self.secrets and (type(one) is str or abs(one) < 1 << 63)]

    # -- the agent's thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        heard = b""
        last = self.now()
        try:
            while True:
                if not _is_still(self.line.fileno(), self.inode):
                    # The program has closed every descriptor, as daemons do; the number may already be that of something of its own.
                    self.line.detach()
                    break
                ready = self.wait([self.line], [], [], TICK_S)[0]
                if ready:
                    data = self.receive(4096)
                    if not data:
                        break
                    heard += data
                    *asked, heard = heard.split(b"\n")
                    for one in asked:
                        self._asked(one.decode())
                now = self.now()
                if now - self.scanned > SCAN_S:
                    self.scanned = now
                    self._scan()
                self._flush()
                if now - last >= TICK_S * 0.9:
                    self._look(now - last, now)
                    last = now
        except OSError:
            pass  # chaosbot is gone
        except Exception as error:
            self._last_words(error)
        self.end()
        self.line.close()

    def _last_words(self, error: Exception) -> None:
        """Tells why nothing more will be told; an interpreter that ends breaks everything."""
        if not sys.is_finalizing():
            with contextlib.suppress(OSError):
                self._tell({"trouble": f"{type(error).__name__}: {error}"[:LONGEST]})

    def _asked(self, what: str) -> None:
        word, _, number = what.partition(" ")
        if word == "forget":
            self.seen.clear()
        if word in ("rearm", "forget") and self.tool is not None:
            self.sides.clear()
            self.peeks = PEEKS
            self.monitoring.restart_events()
        self._flush()
        self._tell({"synced": int(number)})

    def _tell(self, message: dict[str, Any]) -> None:
        self.send(json.dumps(message).encode() + b"\n")

    def _flush(self) -> None:
        hits = []
        while not self.told.empty():
            one = self.told.get()
            if isinstance(one, dict):
                self._tell(one)
            elif one[0] == "hit":
                hits.append((self._number(one[1]), *one[2:]))
            else:
                self._tell({"raised": self._error(*one[1:])})
        if hits:
            self._tell({"hits": hits})

    def _number(self, path: str) -> int:
        """The file's number; told with its words when it is met first."""
        if path not in self.files:
            try:
                source = self.source(path)
            except Exception:
                source = None
            self.files[path] = (len(self.files), source)
            words, lines, branches = (
                (source.words, source.lines, source.branches) if source is not None else ([], {}, [])
            )
            self._tell(
                {"file": len(self.files) - 1, "path": path, "words": words, "lines": lines, "branches": branches}
            )
        return self.files[path][0]

    def _scan(self) -> None:
        """Looks for modules that are new, also those of which nothing has run, and, a while later, at what their variables hold."""
        # Whatever was there so often is known; a program that imports nothing pays for nothing.
        self.quiet = self.quiet + 1 if len(sys.modules) == self.modules else 0
        self.modules = len(sys.modules)
        if self.quiet > LOOKS[-1]:
            return
        for name, module in list(sys.modules.items()):
            held = _held(module)
            file = held.get("__file__")
            path = self._path(file) if isinstance(file, str) and name not in OWN else ""
            if path:
                self._number(path)
                self.scans[path] = times = self.scans.get(path, 0) + 1
                if times in LOOKS:
                    self._tell({"globals": _texts(held, self.secrets), "path": path})

    def _error(
        self,
        name: str,
        names: set[str],
        text: str,
        deliberate: bool,
        frames: list[Frame],
        values: list[Any],
        inner: str,
    ) -> dict[str, Any]:
        """What is told of an error: whether somebody meant it, and what handles it."""
        handled, broad = "", False
        for number, (path, line, _) in enumerate(frames):
            self._number(path)
            source = self.files[path][1]
            guard = source.handler(line, names) if source is not None else None
            if guard is not None:
                handled = f"{path}:{guard.handler}"
                # One statement that may fail, and is known to, right where it stands.
                broad = guard.broad and not (guard.brief and number == 0)
                break
        return {
            "error": name, "text": text, "meant": deliberate or (bool(handled) and not broad), "handled": handled,
            "frames": frames, "values": values, "inner": inner,
        }  # fmt: skip

    # -- the event loop -------------------------------------------------------------------------------------------------

    def _look(self, since: float, now: float) -> None:
        """Looks whether one callback of an event loop runs all the time, and what it runs."""
        if "asyncio.events" not in sys.modules:
            return
        self._dumped(since)
        running: tuple[object, list[FrameType]] | None = self._waits()
        for frame in sys._current_frames().values():
            trace: list[FrameType] = []
            at: FrameType | None = frame
            while at is not None and len(trace) < 200:
                trace.append(at)
                if at.f_code.co_name == "_run" and at.f_code.co_filename.endswith("asyncio/events.py"):
                    running = (at, trace)
                    break
                at = at.f_back
        root, began, told = self.blocked
        if running is None or running[0] is not root:
            if told:
                self._tell({**told, "blocked": now - began})
            self.blocked = (running[0] if running is not None else None, now, {})
        elif now - began >= LONG_S and not told:
            frames = [(one.f_code.co_filename, one.f_lineno, one.f_code.co_name) for one in running[1][:40]]
            self.blocked = (root, began, {"frames": self._named(frames), "values": self._values(running[1][0])})
        elif now - began >= STUCK_S and told:
            self._tell({**told, "blocked": now - began})
            self.blocked = (root, now, told)

    def _waits(self) -> tuple[object, list[FrameType]] | None:
        """What a loop that is none of asyncio's runs while something that it was handed waits for its turn."""
        if not LOOPS & sys.modules.keys():
            return None
        frames = sys._current_frames()
        if self.loop is None:
            self.loop, self.base, self.thread = next((found for one in frames.items() if (found := _loop(*one))), (None, None, 0))  # fmt: skip
            self.beat = None
        trace: list[FrameType] = []
        frame = frames.get(self.thread)
        while frame is not None and frame is not self.base:
            trace.append(frame)
            frame = frame.f_back
        if frame is None:  # it does not run any more
            self.loop = None
        elif self.beat is not None:
            return (self.beat, trace) if trace else None
        else:
            self.beat = object()
            try:
                self.loop.call_soon_threadsafe(self._taken)
            except RuntimeError:  # it is closed
                self.loop = None
        return None

    def _taken(self) -> None:
        self.beat = None

    def _named(self, frames: list[Frame]) -> list[Frame]:
        """The innermost frame, then those of own code."""
        return [*frames[:1], *(one for one in frames[1:] if self._path(one[0]))]

    def _dumped(self, since: float) -> None:
        """What holds the interpreter's lock holds this thread as well; then the interpreter's watchdog has written the frames down."""
        if self.dump is not None and not _is_still(self.dump.fileno(), self.dumped):
            faulthandler.cancel_dump_traceback_later()
            self.lost.append(self.dump)  # never closed: the number is not the agent's any more
            self.dump = None
        if self.dump is None:
            self.dump = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
            self.dumped = os.fstat(self.dump.fileno()).st_ino
        else:
            faulthandler.cancel_dump_traceback_later()
            if since >= LONG_S and os.fstat(self.dump.fileno()).st_size:
                os.lseek(self.dump.fileno(), 0, 0)
                text = os.read(self.dump.fileno(), 1 << 16).decode("utf-8", "replace")
                os.ftruncate(self.dump.fileno(), 0)
                os.lseek(self.dump.fileno(), 0, 0)
                for thread in text.split("\n\n"):
                    found = [(file, int(line), name) for file, line, name in DUMPED.findall(thread)]
                    base = (self.base.f_code.co_filename, self.base.f_code.co_name) if self.base is not None else None
                    ends = [
                        number
                        for number, one in enumerate(found)
                        if (one[2] == "_run" and one[0].endswith("asyncio/events.py")) or (one[0], one[2]) == base
                    ]
                    if ends and found:
                        self._tell({"blocked": since - TICK_S, "frames": self._named(found[: ends[0]])})
        faulthandler.dump_traceback_later(LONG_S + TICK_S, repeat=False, file=self.dump)


DUMPED = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')
RAISES = -1
if sys.version_info >= (3, 12):
    import opcode

    RAISES = opcode.opmap["RAISE_VARARGS"]


def _is_still(descriptor: int, inode: int) -> bool:
    """Whether a descriptor is what it was."""
    try:
        return os.fstat(descriptor).st_ino == inode
    except OSError:
        return False


def _loop(thread: int, frame: FrameType | None) -> tuple[Any, FrameType, int] | None:
    """The loop of `LOOPS` that a thread runs, and the frame that does."""
    trace: list[FrameType] = []
    while frame is not None:
        trace.append(frame)
        frame = frame.f_back
    for one in trace[-OUTERMOST:]:
        values = list(one.f_locals.values())
        for value in (*values, *(_held(value).get("_loop") for value in values)):
            if type(value).__module__.partition(".")[0] in LOOPS and hasattr(type(value), "call_soon_threadsafe"):
                return value, one, thread
    return None


def _held(value: Any) -> dict[str, Any]:
    """What an object holds by name; no code of its own is run, as that of a module which loads what it is asked for."""
    try:
        held = object.__getattribute__(value, "__dict__")
    except Exception:
        return {}
    return held if type(held) is dict else {}


def _inside(value: Any) -> list[Any]:
    """What a value holds, where looking at it runs no code of anybody's."""
    kind = type(value)
    if kind is dict:
        return [*value.keys(), *value.values()][:40]
    if kind in (list, tuple, set, frozenset):
        return list(value)[:20]
    if kind.__module__ == "builtins" or isinstance(value, type):
        return []
    found = [one for key, one in list(_held(value).items())[:40] if key[:2] != "__"]
    for one in kind.__mro__:
        slots = one.__dict__.get("__slots__", ())
        for name in (slots,) if type(slots) is str else list(slots)[:40]:
            slot: Any = one.__dict__.get(name)
            if type(slot).__name__ == "member_descriptor":
                try:
                    found.append(slot.__get__(value))
                except Exception:
                    continue
    return found


def _texts(names: dict[str, Any], secrets: set[str]) -> list[str]:
    """Texts and numbers that variables hold: what a module read from files, and what was put together."""
    found: dict[str, None] = {}
    row = [(value, 0) for name, value in list(names.items()) if name[:1] != "_"]
    while row and len(found) < 300:
        value, depth = row.pop(0)
        if type(value) is int and value > 9:
            found[str(value)] = None
        elif type(value) is str and 1 < len(value) <= 40 and value not in secrets:
            found[value] = None
        elif depth < 2 and type(value) in (dict, list, tuple, set, frozenset):
            row += [
                (one, depth + 1)
                for one in (
                    list(value)[:300] if type(value) is not dict else [*value.keys(), *list(value.values())][:300]
                )
            ]
    return list(found)
