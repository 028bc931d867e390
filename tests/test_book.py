"""The book: built once, without a warning; every link inside leads somewhere, and nothing comes from outside."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools import book
from tools.course import chapters, read

BYTES = 3_000_000  # of a page and all that it shows
LOADS = {"audio": "src", "img": "src", "link": "href", "script": "src", "source": "src"}
PAGES = [f"{path.stem}.html" for path in chapters()] + ["GLOSSARY.html", "INSTRUCTORS.html", "index.html"]
REPOSITORY = "jane/salmonn-mini"


class Page(HTMLParser):
    """What a page's tags say: its links, what it loads, its ids, its pictures' texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.ids = {attributes["id"] for _, attributes in self.tags if attributes.get("id")}
        self.links = [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]
        self.loads = [attributes.get(LOADS[tag]) or "" for tag, attributes in self.tags if tag in LOADS]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, with links to where it lies online. One warning of Sphinx, and there is none."""
    out = tmp_path_factory.mktemp("book") / "site"
    assert book.main(["--out", str(out), "--repository", REPOSITORY]) == 0
    return out


@cache
def page(path: Path) -> Page:
    return Page(path)


def lost(path: Path, site: Path) -> list[str]:
    """The links of a page that lead to no file of the site, or to no place in it."""
    found = []
    for link in page(path).links:
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        inside = target.is_file() and target.is_relative_to(site.resolve())
        if not inside or (parts.fragment and unquote(parts.fragment) not in page(target).ids | {"top"}):
            found.append(link)
    return found


@pytest.mark.parametrize("name", [*PAGES, "genindex.html", "search.html"])
def test_every_link_inside_leads_somewhere(name: str, site: Path) -> None:
    assert len(page(site / name).links) > 15
    assert lost(site / name, site) == []


def test_a_lost_link_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text('<a href="#x">1</a><a id="y" href="b.html">2</a><a href="#y">3</a>', encoding="utf-8")
    assert lost(path, tmp_path) == ["#x", "b.html"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_outside_and_not_too_much(name: str, site: Path) -> None:
    own = page(site / name)
    size = len(own.html)
    for address in filter(None, own.loads):
        if not address.startswith("data:"):
            size += (site / urlsplit(address).path).stat().st_size
    assert size <= BYTES, f"{size:,} bytes"
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//", style.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_chapter_is_shown_as_it_was_committed(path: Path, site: Path) -> None:
    """Its figures with their texts, its players, its formulas, and the file itself to take home."""
    own, notebook = page(site / f"{path.stem}.html"), read(path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [attributes for tag, attributes in own.tags if tag == "img"]
    assert all(attributes.get("alt") for attributes in pictures)
    for output in outputs:
        if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
            assert alt in {attributes["alt"] for attributes in pictures}
    players = sum(output.get("data", {}).get("text/html", "").count("<audio") for output in outputs)
    assert sum(tag == "audio" for tag, _ in own.tags) == players
    assert all("\\" not in formula for formula in re.findall(r"<math.*?</math>", own.html, re.DOTALL))
    taken = [link for link in own.links if link.endswith(f"/{path.name}") and not urlsplit(link).scheme]
    assert (site / taken[0]).read_bytes() == path.read_bytes()
    assert f"https://mybinder.org/v2/gh/{REPOSITORY}/online?labpath={path.name}" in own.links
    assert any(link.startswith("GLOSSARY.html#") for link in own.links)


def test_formulas_and_tables_among_the_outputs_are_drawn(site: Path) -> None:
    made = [page(site / name).html for name in PAGES]
    assert sum("<math" in html for html in made) >= 3
    assert not [name for name, html in zip(PAGES, made, strict=True) if "|---|" in html or "|—|" in html]


def test_a_term_is_linked_once_from_the_chapter_that_explains_it(site: Path) -> None:
    linked = {
        name: [link.split("#")[1] for link in page(site / name).links if link.startswith("GLOSSARY.html#")]
        for name in PAGES
    }
    assert all(len(terms) == len(set(terms)) for terms in linked.values())
    assert "key" in linked["02_encoders.html"] and "key" not in linked["11_evaluation.html"]
    assert "lora" in linked["00_tour.html"] and "lora" in linked["12_full_scale.html"]
    assert "kv-cache" not in linked["05_lora.html"]
    assert 'title="A small trained addition, B A, to a frozen matrix."' in page(site / "00_tour.html").html


def test_a_warning_is_an_error_and_leaves_no_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "notebooks"
    small.mkdir()
    for name in book.PAGES:
        (small / name).write_text("# A page\n\n[gone](gone.md)\n", encoding="utf-8")
    monkeypatch.setattr(book, "NOTEBOOKS", small)
    monkeypatch.setattr(book, "chapters", list)
    assert book.main(["--out", str(tmp_path / "site")]) != 0
    assert "gone.md" in capfd.readouterr().err
    assert not (tmp_path / "site").exists()
    with pytest.raises(SystemExit):
        book.main(["--out", str(small)])
