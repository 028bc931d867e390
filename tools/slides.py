"""Slides: one HTML file a notebook, which needs neither network nor kernel, and an index of them.

    python -m tools.slides [NOTEBOOK …]     # into slides/

nbconvert turns the cells into HTML; what is a slide is said by the cells' slide types (tools/slide_tags.py). Its own
slides load reveal.js, MathJax and more from the network, so the page around the cells is ours: deck.html.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any

from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from tools.course import ROOT, chapters, is_code, read, title
from tools.slide_tags import BELOW, NEW, SKIP, shows_code

SLIDES = ROOT / "slides"
DECK = Path(__file__).with_name("deck.html")
HIDE = "hide-code"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#]+)[^)]*\)")  # to a page of this course, no picture
INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Slides</title></head>
<body style="font: 22px/1.6 system-ui, sans-serif; margin: 3em">
<h1>Slides</h1>
<ul>
{links}
</ul>
</body></html>
"""


class Renderer(IPythonRenderer):
    """Markdown with formulas as pictures: they need no script."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return f'<p class="formula">{formula(body)}</p>'


class Exporter(HTMLExporter):
    """Cells as bare HTML, pictures inside, without prompts."""

    template_name = "basic"
    exclude_input_prompt = exclude_output_prompt = exclude_anchor_links = True

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = Renderer(escape=False, embed_images=True, exclude_anchor_links=True, path=path)
        return MarkdownWithMath(renderer=renderer).render(LINK.sub(_beside_slides, source))


def _beside_slides(link: re.Match) -> str:
    """A link to another chapter leads to its slides; of one to a page without slides the words are left."""
    words, target = link.groups()
    return f"[{words}]({Path(target).stem}.html)" if target.endswith(".ipynb") else words


def formula(tex: str) -> str:
    """A formula as an <img> with its TeX as alt text; as text, if it is beyond matplotlib's TeX."""
    from matplotlib import mathtext
    from matplotlib.font_manager import FontProperties

    tex = " ".join(tex.split())
    braced = re.sub(r"\\sqrt (\w)", r"\\sqrt{\1}", tex)  # matplotlib wants the braces
    file = io.BytesIO()
    try:
        mathtext.math_to_image(
            f"${braced}$", file, prop=FontProperties(size=18, math_fontfamily="cm"), format="svg"
        )
    except ValueError:
        return f"<code>{html.escape(tex)}</code>"
    picture = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="formula" alt="{html.escape(tex)}" src="data:image/svg+xml;base64,{picture}">'


def groups(notebook: NotebookNode) -> Iterator[list[NotebookNode]]:
    """The cells of each slide."""
    slide: list[NotebookNode] = []
    for cell in chain.from_iterable(map(_parts, notebook.cells)):
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == SKIP:
            continue
        if kind in (NEW, BELOW) and slide:
            yield slide
            slide = []
        slide.append(cell)
    if slide:
        yield slide


def _parts(cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell; a text with further headings within it in pieces, each of these a new slide."""
    if cell.cell_type != "markdown":
        yield cell
        return
    for number, text in enumerate(re.split(r"\n(?=## )", cell.source)):
        own = {"slideshow": {"slide_type": NEW}} if number else {}
        yield NotebookNode(cell | {"source": text, "metadata": NotebookNode(cell.metadata | own)})


def deck(notebook: NotebookNode, folder: Path) -> str:
    """A notebook's slides as one page. Pictures that its text names are looked for in `folder`."""
    exporter = Exporter(config=Config(TagRemovePreprocessor={"enabled": True, "remove_input_tags": {HIDE}}))
    pages, section = [], ""
    for cells in groups(notebook):
        heading = cells[0].source.splitlines()[0]
        if heading.startswith("#"):
            section, where = heading.lstrip("# "), ""
        else:
            where = f'<div class="where">{html.escape(section)}</div>'
        page = new_notebook(cells=[_plain(cell) for cell in cells], metadata=notebook.metadata)
        body, _ = exporter.from_notebook_node(page, resources={"metadata": {"path": str(folder)}})
        pages.append(f"<section>{where}{body}</section>")
    return Template(DECK.read_text(encoding="utf-8")).substitute(
        title=html.escape(title(notebook)),
        highlighting=HtmlFormatter().get_style_defs(".highlight"),
        slides="\n".join(pages),
    )


def _plain(cell: NotebookNode) -> NotebookNode:
    """A cell; without its code, where a slide has no room for it."""
    if is_code(cell) and not shows_code(cell):
        return NotebookNode(cell | {"metadata": NotebookNode(cell.metadata | {"tags": [HIDE]})})
    return cell


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=chapters())
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=SLIDES)
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    links = []
    for path in asked.notebooks:
        notebook = read(path)
        page = deck(notebook, path.parent)
        (asked.out / f"{path.stem}.html").write_text(page, encoding="utf-8")
        links.append(f'<li><a href="{path.stem}.html">{html.escape(title(notebook))}</a></li>')
        print(f"{asked.out.name}/{path.stem}.html: {page.count('<section>')} slides")
    (asked.out / "index.html").write_text(INDEX.format(links="\n".join(links)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
