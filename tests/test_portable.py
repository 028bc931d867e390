"""Nothing that Windows lacks is used without a guard, and every text has its encoding: Windows has another default."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for folder in ("salmonn_mini", "tools", "tests") for file in (ROOT / folder).rglob("*.py")]
TESTS = ROOT / "tests"

MODULES = {"crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    *("alarm", "chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups"),
    *("getloadavg", "getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg", "lchown", "mkfifo", "mknod"),
    *("nice", "openpty", "pause", "posix_spawn", "pthread_kill", "pthread_sigmask", "sched_getaffinity", "setegid"),
    *("seteuid", "setgid", "setgroups", "setitimer", "setpgid", "setpriority", "setsid", "setuid", "sigwait"),
    *("statvfs", "sync", "tcgetpgrp", "uname", "unshare", "wait3", "wait4", "waitid", "SIGALRM", "SIGCHLD"),
    *("SIGCONT", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2"),
}  # fmt: skip
OWNERS = {"os", "signal"}
WORDS = {"preexec_fn", "process_group", "start_new_session", "pass_fds"}  # of Popen
STARTS = {"fork", "forkserver"}  # of multiprocessing
PATHS = ("/dev/", "/proc/", "/tmp", "/bin/", "/usr/", "/etc/")
# A guard names the platform, or asks whether the thing is there.
GUARDS = ("os.name", "sys.platform", "hasattr(os", "hasattr(signal", "get_all_start_methods", "importorskip")
GUARDS += (".exists()", ".is_file()")
ERRORS = ("ImportError", "ModuleNotFoundError", "AttributeError")


def uses(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each node that needs another system than Windows, with what it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield node, node.module
        elif isinstance(node, ast.ImportFrom) and node.module in OWNERS:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            if isinstance(node.value, ast.Name) and node.value.id in OWNERS:
                yield node, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in WORDS:
            yield node.value, f"{node.arg}="
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("get_context", "set_start_method")
        ):
            yield from (
                (node, repr(word.value)) for word in node.args if getattr(word, "value", "") in STARTS
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PATHS):
            yield node, node.value


def guarded(node: ast.AST, tree: ast.Module) -> bool:
    """Whether the function around a node, a condition, a `try` or the module's `pytestmark` looks at the platform."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    around = [mark for mark in tree.body if ast.unparse(mark).startswith("pytestmark = ")]
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.Try) and any(error in ast.unparse(node.handlers) for error in ERRORS):
            return True
        if isinstance(node, ast.FunctionDef | ast.If | ast.IfExp | ast.BoolOp):
            around.append(node)
    return any(guard in ast.unparse(place) for place in around for guard in GUARDS)


def unguarded(source: str) -> list[str]:
    tree = ast.parse(source)
    return [f"line {node.lineno}: {name}" for node, name in uses(tree) if not guarded(node, tree)]


def without_encoding(source: str) -> list[str]:
    """Where a text file is opened, or a text read or written, in whatever encoding the machine has."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or "encoding" in (words := {word.arg for word in node.keywords}):
            continue
        name = ast.unparse(node.func)
        modes = [value.value for value in node.args if isinstance(value, ast.Constant)]
        texts = name.endswith((".read_text", ".write_text")) or (
            "text" in words and name.startswith("subprocess.")
        )
        opened = (name == "open" or name.endswith("path.open")) and not any(
            "b" in str(mode) for mode in modes
        )
        if texts or opened:
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_what_windows_lacks_is_guarded(file: Path) -> None:
    if file != Path(__file__):
        assert unguarded(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import resource", ["line 1: resource"]),
        ("try:\n    import resource\nexcept ImportError:\n    resource = None", []),
        ("os.mkfifo(path)", ["line 1: os.mkfifo"]),
        ("if hasattr(os, 'mkfifo'):\n    os.mkfifo(path)", []),
        ("def f():\n    if os.name != 'posix':\n        return\n    os.fork()", []),
        ("def f():\n    os.fork()\nif os.name == 'posix':\n    f()", ["line 2: os.fork"]),
        ("@pytest.mark.skipif(sys.platform == 'win32', reason='')\ndef test():\n    os.getuid()", []),
        ("os.kill(1, signal.SIGKILL)", ["line 1: signal.SIGKILL"]),
        ("os.kill(1, signal.SIGTERM)", []),
        ("from os import uname", ["line 1: os.uname"]),
        ("multiprocessing.get_context('forkserver')", ["line 1: 'forkserver'"]),
        ("open('/dev/null')", ["line 1: /dev/null"]),
        ("Popen([], start_new_session=True)", ["line 1: start_new_session="]),
    ],
)
def test_the_rule_of_guards(source: str, found: list[str]) -> None:
    assert unguarded(source) == found


@pytest.mark.parametrize(
    "file", [file for file in FILES if TESTS not in file.parents], ids=lambda file: file.name
)
def test_every_text_has_its_encoding(file: Path) -> None:
    assert without_encoding(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("path.read_text()", ["line 1: path.read_text"]),
        ("path.write_text(text, encoding='utf-8')", []),
        ("files.write_text(path, text)", ["line 1: files.write_text"]),
        ("write_text(path, text)", []),
        ("open(path)", ["line 1: open"]),
        ("open(path, 'rb')", []),
        ("path.open('ab')", []),
        ("subprocess.run(command, text=True)", ["line 1: subprocess.run"]),
    ],
)
def test_the_rule_of_encodings(source: str, found: list[str]) -> None:
    assert without_encoding(source) == found
