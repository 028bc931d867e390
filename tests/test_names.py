"""One thing, one name: the words that were given up stand nowhere in the package, and its spelling is American.

What is said in the toy world (`SPOKEN`) may have ears.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "salmonn_mini"
FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}
SPOKEN = ("toy/world/",)  # its strings, not their docstrings
TABLE = "errors.py"  # RENAMED holds old names

# In names: parts, between underscores and capitals, and whole names.
PARTS = re.compile(
    r"hears?|heard|hearing|ears?|listen\w*|told|mend\w*|reworded|framed|watched|levers?|beside|lean"
)
WHOLE = (
    "make_whole", "whole_moments", "Kept", "Streamed", "TOGETHER", "STORED", "PATIENCE", "current_scale", "pad_to_30s",
    "WhisperShape", "BeatsShape", "LlmShape", "LoraSettings",
)  # fmt: skip
# In docstrings, comments, messages and help; people may have ears.
PHRASES = re.compile(
    r"\b(?:(?<![Oo]ur )ears?|levers?|mend(?:s|ed|ing)?|the way (?:back|there)|without a way back|write it so)\b"
    r"|\b(?:hearing|learning|spread)\.py\b|is no sound:"
)
BRITISH = re.compile(
    r"\b\w*(?:colour|behaviour|neighbour|favour|licence|centre|levell|labell|modell"
    r"|(?:recogn|normal|initial|summar|general|optim|token|quant)is(?!m|tic)|synthesis(?:e|ing)|practis(?:e|ing)"
    r"|analys(?:e[ds]?|ing)\b)\w*",
    re.IGNORECASE,
)
DOCSTRING_AFTER = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.NL)


def parts(name: str) -> list[str]:
    """`load_earsOf` → load, ears, of."""
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)]


def retired(name: str, text: str) -> Iterator[str]:
    """`line: word` for each word of a source text that was given up; `name` is its file's."""
    depth, before = 0, tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, found = token.start[0], []
        if token.type == tokenize.NAME:
            own = [part for part in parts(token.string) if PARTS.fullmatch(part) or BRITISH.fullmatch(part)]
            found = own or [token.string] * (token.string in WHOLE)
        elif token.type == tokenize.COMMENT or token.type in STRINGS:
            is_docstring = not depth and before in DOCSTRING_AFTER
            if token.type == tokenize.COMMENT or is_docstring or not name.startswith(SPOKEN):
                found = [match[0] for rule in (PHRASES, BRITISH) for match in rule.finditer(token.string)]
        elif token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        before = before if token.type == tokenize.COMMENT else token.type
        yield from (f"{line}: {word}" for word in found)


STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@pytest.mark.parametrize("name", [name for name in FILES if name != TABLE])
def test_no_retired_name_is_left(name: str) -> None:
    assert list(retired(name, FILES[name].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", "def hear_all(): pass", ["1: hear"]),
        ("a.py", "x = 1  # what its ears do", ["1: ears"]),
        ("a.py", "raise E('mend the files')", ["1: mend"]),
        ("a.py", 'class A:\n    """The optimiser."""', ["2: optimiser"]),
        ("toy/world/a.py", "X = {\n    'a': 'Summarise the licence.',\n}", []),
        ("toy/world/a.py", "def f():\n    'The licence.'", ["2: licence"]),
        (
            "a.py",
            "class WhisperEars: TOGETHER = optimize('what colour is the grass')",
            ["1: ears", "1: TOGETHER", "1: colour"],
        ),
    ],
)
def test_the_rules_find_what_they_forbid(name: str, text: str, found: list[str]) -> None:
    assert list(retired(name, text)) == found
