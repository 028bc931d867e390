"""The students' set: all code as it is, stubs among it; no outputs, no solutions, nothing for instructors."""

import json
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from salmonn_mini.course.exercises import EXERCISES
from tools import students
from tools.course import INSTRUCTOR, chapters, read, tags


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "students"
    students.make_set(folder)
    return folder


def code(notebook: NotebookNode) -> list[str]:
    own = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.source for cell in own if INSTRUCTOR not in tags(cell)]


def test_all_chapters_run_as_they_did(made: Path) -> None:
    """The same code in the same order: what nbval proves of the course holds for the set."""
    assert [path.name for path in sorted((made / "notebooks").glob("*.ipynb"))] == [
        p.name for p in chapters()
    ]
    for path in chapters():
        handed = read(made / "notebooks" / path.name)
        assert code(handed) == code(read(path))
        assert all(
            cell.outputs == [] and cell.execution_count is None for cell in handed.cells if "outputs" in cell
        )


def test_every_stub_is_there_and_no_solution(made: Path) -> None:
    handed = {
        int(path.stem[:2]): "\n".join(code(read(path))) for path in (made / "notebooks").glob("*.ipynb")
    }
    for number in EXERCISES:
        assert re.search(rf'\b(check|use)\("{number}", ', handed[int(number.split(".")[0])]), number
    assert "\n".join(handed.values()).count("return None  # your code") >= 35
    assert not list(made.rglob("solutions"))
    assert not (made / "notebooks" / "INSTRUCTORS.md").exists()
    assert not (made / "tests").exists()
    for path in (made / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert "solutions/" not in text
        assert "INSTRUCTORS" not in text
        json.loads(text)


def test_all_that_make_lab_needs_is_there(made: Path) -> None:
    for name in ("Makefile", ".ci/find-python", "pyproject.toml", "requirements.lock", "LICENSE"):
        assert (made / name).exists(), name
    assert (made / "salmonn_mini" / "pretrained" / "toy").is_dir()
    assert (made / "data_samples" / "manifest.json").exists()
    assert not list(made.rglob("__pycache__"))
    readme = (made / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", readme):
        assert link.startswith("https://") or (made / link).exists(), link


def test_cells_for_instructors_go() -> None:
    shown = new_output("stream", name="stdout", text="42\n")
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# 1 · A\n\nB"),
            new_code_cell("print(42)", outputs=[shown], execution_count=1),
            new_markdown_cell("Ask the class.", metadata={"tags": ["instructor"]}),
            new_markdown_cell("End.\n\n*Solutions to the exercises are in `solutions/01_a.py`.*"),
        ]
    )
    plain = students.stripped(notebook)
    assert [cell.source for cell in plain.cells] == ["# 1 · A\n\nB", "print(42)", "End."]
    assert notebook.cells[1].outputs == [shown]


def test_a_folder_that_is_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        students.main(["--out", str(tmp_path)])
    assert "it is there already; name a new folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
