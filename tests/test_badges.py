"""Copies to open online: links and a cell that installs once. The notebooks of the lab have neither."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import badges
from tools.course import chapters, read

REPOSITORY = "jane/salmonn-mini"
TINY = new_notebook(
    cells=[new_markdown_cell("# 1 · Sound\n\nA wave."), new_code_cell("x = 1", execution_count=1)]
)


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_the_notebooks_of_the_lab_have_none(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells).lower()
    assert not re.search(r"colab|binder|pip install|git clone", text)


def test_a_copy_has_links_below_its_title_and_first_installs() -> None:
    title, install, *rest = badges.online(TINY, "01_sound.ipynb", REPOSITORY).cells
    colab = "https://colab.research.google.com/github/jane/salmonn-mini/blob/online/01_sound.ipynb"
    binder = "https://mybinder.org/v2/gh/jane/salmonn-mini/online?labpath=01_sound.ipynb"
    assert title.source == f"# 1 · Sound\n\n[Open in Colab]({colab}) · [Open in Binder]({binder})\n\nA wave."
    assert "https://github.com/jane/salmonn-mini" in install.source
    assert rest == TINY.cells[1:] and TINY.cells[0].source == "# 1 · Sound\n\nA wave."


def test_without_an_address_there_are_no_links() -> None:
    assert badges.links("01_sound.ipynb", "") == []


@pytest.mark.skipif(sys.platform == "win32", reason="Colab's and Binder's shell")
def test_the_cell_installs_once_and_goes_on_where_it_failed(tmp_path: Path) -> None:
    """The cell as IPython translates it, in a real shell, with a git and a pip that only note what they are asked."""
    log, home = tmp_path / "log", tmp_path / "home"
    home.mkdir()
    git = f'#!/bin/sh\necho git "$@" >> {log}\nmkdir {home}/course\n'
    pip = f'#!/bin/sh\ntest $1 = show && exec test -e {home}/installed\necho pip "$@" >> {log}\n'
    for name, script in (("git", git), ("pip", pip)):
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    class Shell:
        def system(self, line: str) -> None:
            subprocess.run(line, shell=True, env={"PATH": f"{tmp_path}:/bin:/usr/bin", "HOME": str(home)})

        def run_line_magic(self, name: str, line: str, *_: object) -> None:
            log.open("a", encoding="utf-8").write(f"{name} {line}\n")

    source = badges.online(TINY, "01_sound.ipynb", REPOSITORY).cells[1].source
    code = compile(TransformerManager().transform_cell(source), "cell", "exec")

    def said() -> list[str]:
        log.write_text("", encoding="utf-8")
        exec(code, {"get_ipython": Shell})
        return log.read_text(encoding="utf-8").splitlines()

    clone = f"git clone --quiet --depth 1 https://github.com/{REPOSITORY} {home}/course"
    install, folder = f"pip install --quiet {home}/course", "cd -q ~/course/notebooks"
    assert said() == [clone, install, folder]
    assert said() == [install, folder]
    (home / "installed").touch()
    assert said() == [folder]


def test_the_command_writes_a_folder_for_a_branch_of_its_own(tmp_path: Path) -> None:
    path, out = tmp_path / "01_sound.ipynb", tmp_path / "online"
    nbformat.write(TINY, path)
    assert badges.main([REPOSITORY, str(path), "--out", str(out)]) == 0
    made = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert made == {"01_sound.ipynb", "README.md", "binder/postBuild", "binder/runtime.txt"}
    nbformat.validate(read(out / "01_sound.ipynb"))
    build = (out / "binder" / "postBuild").read_bytes()
    assert b"\r" not in build and f"https://github.com/{REPOSITORY} ~/course\n".encode() in build
    with pytest.raises(SystemExit):
        badges.main([REPOSITORY, str(path), "--out", str(tmp_path)])
    assert path.exists()


@pytest.mark.parametrize("wrong", ["jane", "https://github.com/jane/course", "jane/course/", "a b/c"])
def test_a_wrong_address_is_refused_in_words(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        badges.main([wrong])
    assert ended.value.code == 2
    assert "write owner/name" in capsys.readouterr().err
