"""Badge, Colab cell, slide tags: in every notebook, quiet on a laptop, put in without touching anything else."""

import contextlib
import io
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from record import CHECKED, clean, faults

from tools import badges
from tools.course import COLAB, chapters, read, tags

REPOSITORY = "jane/salmonn-mini"


def tiny() -> NotebookNode:
    """A chapter as its writer leaves it, run."""
    shape = new_output("execute_result", data={"text/plain": "(1, 80, 300)"}, execution_count=1)
    return clean(
        new_notebook(
            cells=[
                new_markdown_cell("# 1 · Sound\n\nA wave."),
                new_code_cell("shape", execution_count=1, outputs=[shape], metadata={"tags": [CHECKED]}),
                new_code_cell(""),
                new_code_cell("x = 1", execution_count=2),
            ]
        )
    )


def put(notebook: NotebookNode, repository: str = REPOSITORY) -> NotebookNode:
    return clean(badges.prepared(notebook, "01_sound.ipynb", repository))


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_every_notebook_has_them_up_to_date(path: Path) -> None:
    notebook = read(path)
    assert clean(badges.prepared(notebook, path.name, badges.repository())) == notebook, "run: make badges"
    assert badges.badge(path.name, badges.repository()) in notebook.cells[0].source
    assert [cell.source for cell in notebook.cells if COLAB in tags(cell)] == [
        badges.install(badges.repository())
    ]
    assert COLAB in tags(notebook.cells[1])
    assert notebook.cells[1].outputs == []


def test_outputs_stay_and_numbers_follow() -> None:
    before, after = tiny(), put(tiny())
    assert after.cells[0].source.startswith("# 1 · Sound\n\n[![Open in Colab](colab.svg)](https://colab.")
    assert after.cells[0].source.endswith("\n\nA wave.")
    assert "github/jane/salmonn-mini/blob/main/notebooks/01_sound.ipynb" in after.cells[0].source
    assert [cell.source for cell in after.cells[2:]] == [cell.source for cell in before.cells[1:]]
    assert [cell.execution_count for cell in after.cells[1:]] == [1, 2, None, 3]
    assert after.cells[2].outputs[0] == before.cells[1].outputs[0] | {"execution_count": 2}
    assert list(faults(after)) == []
    assert before == tiny()


def test_a_second_time_changes_nothing_and_an_address_is_replaced() -> None:
    once = put(tiny())
    assert put(once) == once
    unknown = put(once, repository="")
    assert "[![Open in Colab](colab.svg)](INSTRUCTORS.md#colab)" in unknown.cells[0].source
    assert "jane" not in str(unknown)
    assert put(unknown) == once


def test_what_has_not_run_yet_gets_no_numbers() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# 1 · Sound\n\nA wave."), new_code_cell("x = 1")])
    assert [cell.get("execution_count") for cell in put(notebook).cells[1:]] == [None, None]


def test_a_notebook_without_a_title_is_left_alone() -> None:
    notebook = new_notebook(cells=[new_code_cell("x = 1")])
    assert badges.prepared(notebook, "tiny.ipynb", REPOSITORY) == notebook


@pytest.mark.parametrize("repository", ["", REPOSITORY])
@pytest.mark.parametrize("place", ["google.colab._shell.Shell", "ipykernel.zmqshell.ZMQInteractiveShell"])
def test_it_installs_on_colab_and_is_silent_elsewhere(repository: str, place: str) -> None:
    """The cell as IPython translates it, with a shell that only notes what it is asked to do."""
    asked = []

    class Shell:
        def __str__(self) -> str:
            return f"<{place} object>"

        def system(self, line: str) -> None:
            asked.append(line)

        def run_line_magic(self, name: str, line: str, *_: object) -> None:
            asked.append(f"{name} {line}")

    code = TransformerManager().transform_cell(badges.install(repository))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"get_ipython": Shell, "input": lambda _: "https://example.org/course"})
    assert printed.getvalue() == ""
    if "colab" not in place:
        assert asked == []
        return
    clone, folder = asked
    assert "git clone --quiet --depth 1 {address} /content/course && pip install" in clone
    assert folder == "cd -q /content/course/notebooks"


def test_the_address_stands_in_one_place(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "x"\n\n[project.scripts]\nx = "x:main"\n', encoding="utf-8")
    assert badges.repository(pyproject) == ""
    for name in (REPOSITORY, "john/course.v2"):
        badges.set_repository(name, pyproject)
        assert badges.repository(pyproject) == name
    assert pyproject.read_text(encoding="utf-8").count("[project.urls]") == 1


@pytest.mark.parametrize("wrong", ["jane", "https://github.com/jane/course", "jane/course/", "a b/c"])
def test_a_wrong_address_is_refused_in_words(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        badges.main(["--repository", wrong])
    assert ended.value.code == 2
    assert "write owner/name" in capsys.readouterr().err


def test_the_command_writes_only_what_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "01_sound.ipynb"
    nbformat.write(tiny(), path)
    badges.main([str(path)])
    once = path.read_bytes()
    badges.main([str(path)])
    assert path.read_bytes() == once
    assert capsys.readouterr().out == "01_sound.ipynb: brought up to date\n"
