"""No page and no notebook links to what is not there; addresses in the web are asked every night (`make links`)."""

from pathlib import Path

import links
import pytest

PAGES = links.pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(links.ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(links.broken(page)) == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Two words\n[a](other.md) [b](#two-words) [c](#three) [d](page.md#Two-words) `[e](code.md)`\n"
        '<img src="gone.svg"> [f](https://example.org/x)\n',
        encoding="utf-8",
    )
    found = ["other.md: no such file", "#three: no such heading", "gone.svg: no such file"]
    assert list(links.broken(page)) == found


def test_the_web_is_asked_and_says_no(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.touch()
    assert links.fault(there.as_uri()) == ""
    assert links.fault(gone.as_uri()) != ""
