"""What a student's process may take and touch, as far as the system can forbid it: limits, and no sandbox.

Everywhere its judge watches the clock, memory, processes and files, and kills it (`overdrawn`). Where the system has
them, limits of its own come on top (`resource`), on Linux also namespaces (no network, no other process, a disk that
is read-only but for its own copy), and Landlock (nothing to be read but Python and the package).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from salmonn_mini.course.grading.notebook import PACKAGE

USER, MOUNT, PROCESSES, NETWORK, IPC = 0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000  # CLONE_NEW…
PRIVATE, BIND, READ_ONLY, RECURSIVE = 0x44000, 0x1000, 1, 0x8000
READ, ANY_OF_A_FILE = 0b1101, 0b100000000000111  # Landlock: run, read, list; run, write, read, truncate
OPEN_FILES = 128
PYTHON = (sys.prefix, sys.base_prefix, PACKAGE)


@dataclass(frozen=True)
class Limits:
    """What an exercise may take: seconds; what its process may: bytes of memory and of files, further processes."""

    seconds: float = 20.0
    memory: int = 2 * 2**30
    files: int = 64 * 2**20
    processes: int = 16
    start: float = 600.0  # seconds until Python and torch are there, before anything of a student runs


def overdrawn(process: psutil.Process, folder: Path, limits: Limits, deadline: float) -> str:
    """Which limit a student's process and those it started have passed; "" for none."""
    if time.monotonic() > deadline:
        return f"it took more than {limits.seconds:g} s"
    family = family_of(process)
    if len(family) > limits.processes:
        return f"it started more than {limits.processes} processes"
    memory = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            memory += member.memory_info().rss
    # Python, torch and what the notebook imports take their share, also in the process that waits.
    if memory > limits.memory + 2**31:
        return f"it took more than {limits.memory / 2**30:g} GB of memory"
    try:
        size = sum(max(4096, file.lstat().st_size) for file in folder.rglob("*"))
    except OSError:
        size = 0  # it is changing, or gone
    return f"it wrote more than {limits.files >> 20} MB" if size > limits.files else ""


def family_of(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that come from it, as far as the system knows."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def kill_family(pid: int) -> None:
    """Kill a process and all that come from it, again until none is left."""
    for _ in range(20):
        with contextlib.suppress(psutil.Error):
            family = family_of(psutil.Process(pid))
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            if len(family) <= 1:
                return


def adopt() -> None:
    """Let processes whose parent dies become this one's children, so that `kill_family` finds them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def confine(folder: Path, hidden: Iterable[Path], limits: Limits, exercises: int) -> list[str]:
    """Shut this process in, in `folder`; gives what this system does not forbid. Nothing of a student has run yet."""
    apart = _namespaces(
        folder, [path for path in hidden if not any(_holds(path, needed) for needed in PYTHON)]
    )
    landlock = _landlock(folder, hidden)
    if apart:
        _drop_capabilities()
    missing = [] if _own_limits(limits, exercises, apart) else ["memory and processes are only watched"]
    if not apart:
        missing.append("UDP" if landlock >= 4 else "the network")
        missing += [] if landlock >= 6 else ["signals to other processes"]
        missing += [] if landlock else ["writing outside its copy"]
        missing.append("another file's mode and times")
    return missing + ([] if landlock else ["reading what others may read"])


def _own_limits(limits: Limits, exercises: int, apart: bool) -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    seconds = int(limits.seconds * (exercises + 5))
    wanted = {"CPU": seconds, "FSIZE": limits.files, "NOFILE": OPEN_FILES, "CORE": 0}
    if sys.platform == "linux":
        # psutil asks by a number, which is 1 here
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        wanted["AS"] = pages * resource.getpagesize() + limits.memory
        wanted |= {"NPROC": limits.processes + 1} if apart else {}
    for name, most in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))
    return sys.platform == "linux"


def _namespaces(folder: Path, hidden: Iterable[Path]) -> bool:
    """A world of its own: no network, no other process, every file system read-only but for `folder`.

    The process that has called this only waits from here on; its child goes on.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(USER | MOUNT | PROCESSES | NETWORK | IPC):
        return False  # a container, or a system that forbids it
    own = os.fsencode(folder)
    failed = libc.mount(None, b"/", None, PRIVATE, None) or libc.mount(own, own, None, BIND, None)
    for path in hidden:
        failed = failed or libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, b"size=4k")
    read_only, writable = struct.pack("4Q", READ_ONLY, 0, 0, 0), struct.pack("4Q", 0, READ_ONLY, 0, 0)
    failed = failed or libc.syscall(442, -100, b"/", RECURSIVE, read_only, 32)  # mount_setattr
    failed = failed or libc.syscall(442, -100, own, 0, writable, 32)
    child = os.fork()
    if child:
        os.closerange(0, OPEN_FILES * 8)
        status = os.waitpid(child, 0)[1]
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    libc.prctl(1, 9, 0, 0, 0)  # die with the one that waits
    os.chdir(folder)
    return not failed


def _drop_capabilities() -> None:
    """Within its own world a process may do all things: unlock its mounts, too. No more."""
    ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))


def _landlock(folder: Path, hidden: Iterable[Path]) -> int:
    """Nothing to be read but Python, the package and the system; nothing to be written but `folder`. The version."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, 0, 1)
    if version < 1:
        return 0
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    size = 8 if version < 4 else 16 if version < 6 else 24
    every = (1 << bits) - 1
    ruleset = libc.syscall(444, struct.pack("3Q", every, 3, 3), size, 0)
    paths = [*PYTHON, "/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys"]
    paths += ["/dev/zero", "/dev/random", "/dev/urandom"]
    outside = (PACKAGE, *hidden)
    paths += [path for path in sys.path if path and not any(_holds(path, one) for one in outside)]
    for path, rights in [*((path, READ) for path in paths), ("/dev/null", every), (folder, every)]:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_PATH)
            rights &= every if os.path.isdir(path) else ANY_OF_A_FILE & every
            libc.syscall(445, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
            os.close(handle)
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges, which Landlock asks for
    failed = libc.syscall(446, ruleset, 0)
    os.close(ruleset)
    return 0 if failed else version


def _holds(path: str | Path, other: str | Path) -> bool:
    """Whether `other` is the folder `path`, or lies in it."""
    return Path(path) in (Path(other), *Path(other).parents)
