"""Committed notebooks are whole: run, clean, with something for nbval to compare when it runs them."""

import re
from pathlib import Path

import nbformat
import pytest
from both import differences, run_both
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from record import CHECKED, PYTHON, WIDGET, clean, faults, record

from tools.course import EXERCISE

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_whole(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert list(faults(notebook)) == []


def good() -> NotebookNode:
    output = new_output("stream", name="stdout", text="(1, 80, 300)\n")
    cell = new_code_cell("print(shape)", execution_count=1, outputs=[output], metadata={"tags": [CHECKED]})
    return clean(new_notebook(cells=[new_markdown_cell("# Sound"), cell]))


def with_output(*outputs: NotebookNode) -> NotebookNode:
    notebook = good()
    notebook.cells[1].outputs = [*notebook.cells[1].outputs, *outputs]
    return notebook


def with_cell(**changes: object) -> NotebookNode:
    notebook = good()
    notebook.cells[1].update(changes)
    return notebook


def stdout(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


def test_a_good_notebook_has_no_faults() -> None:
    assert list(faults(good())) == []


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (with_cell(execution_count=None), "not run from top to bottom"),
        (with_cell(execution_count=2), "not run from top to bottom"),
        (with_cell(outputs=[]), "without output"),
        (with_cell(metadata={"tags": []}), "would compare nothing"),
        (
            with_cell(metadata={"tags": [CHECKED, "nbval-check-outputs"]}),
            "there is no tag 'nbval-check-outputs'",
        ),
        (with_output(new_output("error", ename="KeyError", evalue="'x'")), "ends in KeyError"),
        (with_output(new_output("stream", name="stderr", text="a warning")), "writes to stderr: a warning"),
        (with_output(stdout("saved in /home/me/clip.wav")), "a path of one machine"),
        (with_output(stdout(r"C:\Users\me\clip.wav")), "a path of one machine"),
        (with_output(stdout("<object at 0x7f00aa11bb22>")), "a memory address"),
        (with_cell(id="random-id"), "random ids"),
        (with_cell(metadata={"tags": [CHECKED], "execution": {"x": "now"}}), "timings"),
        (with_output(new_output("display_data", {WIDGET: {}})), "widget state"),
    ],
)
def test_each_fault_is_named(notebook: NotebookNode, fault: str) -> None:
    assert fault in "\n".join(faults(notebook))


def test_addresses_and_encoded_sound_are_no_paths() -> None:
    player = new_output(
        "display_data", {"text/html": '<audio src="data:audio/wav;base64,Uk+A/tmp/9x/usr/B"/>'}
    )
    assert list(faults(with_output(player, stdout("https://example.org/home/page")))) == []


def test_cleaning_twice_changes_nothing_and_keeps_ids_apart() -> None:
    messy = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell("x = 1")], metadata={"widgets": {}})
    once = clean(messy)
    assert clean(once) == once
    assert once.cells[0].id != once.cells[1].id
    assert once.metadata == PYTHON
    assert "widgets" in messy.metadata


def test_recording_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "tiny.ipynb"
    code = "import os\nfrom ipywidgets import IntSlider\n\nprint(os.environ['OMP_NUM_THREADS'])\nIntSlider()"
    nbformat.write(new_notebook(cells=[new_code_cell(code, metadata={"tags": [CHECKED]})]), path)
    assert record(path) == []
    once = path.read_bytes()
    assert record(path) == []
    assert path.read_bytes() == once
    assert [output.text for output in nbformat.read(path, as_version=4).cells[0].outputs] == ["1\n"]


def test_a_failing_notebook_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "failing.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert "ZeroDivisionError" in "\n".join(record(path))
    assert path.read_bytes() == before


def doubled(first: str, again: NotebookNode) -> NotebookNode:
    cells = [
        new_code_cell("print(n)", outputs=[output], metadata={"tags": [CHECKED]})
        for output in (stdout(first), again)
    ]
    return new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("again", "fault"),
    [
        (stdout("3\n"), r"shows \['3\\n'\], and \['2\\n'\] before"),
        (new_output("error", ename="NameError", evalue="m"), "again: ends in NameError"),
        (new_output("stream", name="stderr", text="a warning"), "again: writes to stderr"),
    ],
)
def test_a_second_run_that_differs_is_named(again: NotebookNode, fault: str) -> None:
    assert list(differences(doubled("2\n", stdout("2\n")))) == []
    assert re.search(fault, "\n".join(differences(doubled("2\n", again))))


def test_an_exercise_that_its_solution_does_not_solve_is_named() -> None:
    stub = new_code_cell("check()", outputs=[stdout("○ nothing")], metadata={"tags": [EXERCISE]})
    wrong = new_code_cell("check()", outputs=[stdout("✗ not yet")], metadata={"tags": [EXERCISE]})
    right = new_code_cell("check()", outputs=[stdout("✓ right")], metadata={"tags": [EXERCISE]})
    assert list(differences(new_notebook(cells=[stub, right]))) == []
    assert list(differences(new_notebook(cells=[stub, wrong]))) == ["code cell 1, solved: ✗ not yet"]


def test_a_notebook_is_run_with_its_stubs_and_again_with_its_solutions(tmp_path: Path) -> None:
    path = tmp_path / "count.ipynb"
    stub = "def third(n):\n    return None\n\n\nprint('✓' if third(6) else '○')"
    used = "n = globals().get('n', 0) + 1\nprint(n, third(6))"
    cells = [
        new_code_cell(stub, metadata={"tags": [EXERCISE]}),
        new_code_cell(used, metadata={"tags": [CHECKED]}),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "count.py").write_text(
        "import math\n\n\ndef third(n):\n    return math.ceil(n / 3)\n"
    )
    assert run_both(path) == [r"code cell 2 shows ['2 2\n'], and ['1 None\n'] before"]
