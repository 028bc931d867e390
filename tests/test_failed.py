"""tests/failed.py: what CI keeps of the notebooks that failed."""

import base64
import json
from pathlib import Path

import failed
import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

PICTURE = b"\x89PNG not really"


def test_each_notebook_with_a_failed_cell_comes_once(tmp_path: Path) -> None:
    last = tmp_path / "lastfailed"
    assert failed.notebooks(last) == []
    names = [
        "notebooks/03_windows.ipynb::Cell 4",
        "notebooks/03_windows.ipynb::Cell 9",
        "tests/test_x.py::test_y",
    ]
    last.write_text(json.dumps(dict.fromkeys(names, True)), encoding="utf-8")
    assert failed.notebooks(last) == [failed.ROOT / "notebooks" / "03_windows.ipynb"]


def test_its_figures_are_pictures(tmp_path: Path) -> None:
    picture = new_output("display_data", {"image/png": base64.b64encode(PICTURE).decode(), "text/plain": "a"})
    notebook = new_notebook(cells=[new_code_cell("", outputs=[picture, new_output("stream", text="a")])])
    assert list(failed.figures(notebook)) == [PICTURE]


def test_it_is_kept_with_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0"), new_code_cell("6 * 7")]), path)
    failed.keep(path, tmp_path / "failed")
    first, second = nbformat.read(tmp_path / "failed" / "broken.ipynb", as_version=4).cells
    assert first.outputs[0].ename == "ZeroDivisionError"
    assert second.outputs[0].data["text/plain"] == "42"
