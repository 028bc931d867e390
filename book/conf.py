"""How Sphinx makes the book: chapters with their outputs as committed, formulas as MathML, terms with their meaning.

`make book` copies pages and notebooks beside this file and calls Sphinx (tools/book.py). Nothing in a page is loaded
from elsewhere: Furo brings no fonts, and MathML needs no script.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

project = "salmonn-mini"
html_title = "Build a language model that hears"
author = copyright = "the authors of salmonn-mini"
extensions = ["myst_nb"]
exclude_patterns = ["download"]  # what readers take home is no page

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # of outputs: they have tables

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = html_show_sourcelink = False
html_math_renderer = "mathml"

ROW = re.compile(r"^\| ([^|]+) \|.*\| ([^|]+) \| (\d+) \|$", re.MULTILINE)
# Words of every day too: they are terms for certain only where they are explained.
EVERYDAY = {"head", "key", "label", "loss", "merge", "phase", "rank", "sample", "value", "wave"}
# No term is looked for in these.
APART = (nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.raw)


def terms(glossary: Path) -> dict[str, tuple[str, int]]:
    """The glossary's terms in small letters, each with its sentence and the chapter that explains it first."""
    rows = ROW.findall(glossary.read_text(encoding="utf-8"))
    return {term.lower(): (sentence, int(chapter)) for term, sentence, chapter in rows}


def link_terms(app: Sphinx, document: nodes.document) -> None:
    """In a chapter, link the first mention of each term that it or a chapter before it explains."""
    page = app.env.docname
    if page == "GLOSSARY":
        name_rows(document)
    if not page[:2].isdigit():
        return
    known = known_in(int(page[:2]), terms(app.srcdir / "GLOSSARY.md"))
    longest_first = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    word = re.compile(rf"(?<![\w-])({longest_first})(?:s|es)?(?![\w-])", re.IGNORECASE)
    for text in list(document.findall(nodes.Text)):
        if not any(isinstance(parent, APART) for parent in ancestors(text)):
            text.parent.replace(text, linked(text, word, known))


def known_in(chapter: int, glossary: dict[str, tuple[str, int]]) -> dict[str, str]:
    """The terms that a chapter's reader knows or learns, each with its sentence."""
    return {
        term: about
        for term, (about, first) in glossary.items()
        if first == chapter or (first < chapter and term not in EVERYDAY)
    }


def linked(text: nodes.Text, word: re.Pattern[str], known: dict[str, str]) -> list[nodes.Node]:
    """The text in pieces, with a link for each term that is still in `known`, out of which it is taken."""
    pieces: list[nodes.Node] = []
    end = 0
    for found in word.finditer(text):
        term = found[1].lower()
        if about := known.pop(term, None):
            place = f"GLOSSARY.html#{nodes.make_id(term)}"
            link = nodes.reference(
                "", found[0], refuri=place, reftitle=about, internal=True, classes=["term"]
            )
            pieces += [nodes.Text(text[end : found.start()]), link]
            end = found.end()
    return [*pieces, nodes.Text(text[end:])]


def ancestors(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while node := node.parent:
        found.append(node)
    return found


def name_rows(document: nodes.document) -> None:
    """Give each row of the glossary an id, for links to it, and its table a class: it is drawn as a list."""
    for table in document.findall(nodes.table):
        table["classes"].append("glossary")
        for row in table.findall(nodes.row):
            row["ids"] = [nodes.make_id(row[0].astext())]


def visit_math(translator: Any, node: nodes.Element) -> None:
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    translator.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", link_terms)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
