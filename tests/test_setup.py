"""What the project says of itself in several files is the same in all, and what they name is there."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from salmonn_mini import __version__
from tools import lock, release
from tools.make import STRICT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
DIRECT = lock.direct()
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
WORKFLOWS = {file.stem: file for file in (ROOT / ".github" / "workflows").glob("*.yml")}
ACTIONS = [*WORKFLOWS.values(), *(ROOT / ".github" / "actions").rglob("action.yml")]


def locked(name: str, python: str, platform: str = "linux") -> str:
    """The one version of `name` that the lock gives to this Python on this platform."""
    found = lock.locked(name, LOCK, python, platform)
    assert len(found) == 1, f"{name} on {python}, {platform}: the lock names {len(found)} versions"
    return found[0]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_the_lock_gives_every_python_a_version_within_range(requirement: Requirement, platform: str) -> None:
    for python in PYTHONS:
        assert locked(requirement.name, python, platform) in requirement.specifier


def test_the_lock_is_for_the_pythons_that_the_project_accepts() -> None:
    accepted = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [python for python in ("3.9", *PYTHONS, "3.15") if python in accepted] == PYTHONS
    assert f"--python-version {PYTHONS[0]} " in LOCK.splitlines()[1]


def test_every_locked_package_is_checked_by_its_hash() -> None:
    assert re.findall(r"^\w.*[^\\]$", LOCK, re.MULTILINE) == []
    assert LOCK.count("--hash=sha256:") > len(re.findall(r"^\w", LOCK, re.MULTILINE))


def test_conda_users_get_the_locked_versions() -> None:
    python, pip, section = ENVIRONMENT["dependencies"]
    assert pip == "pip"
    version = python.removeprefix("python=")
    pinned = {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, section["pip"])}
    assert pinned == {canonicalize_name(r.name): f"=={locked(r.name, version)}" for r in DIRECT}


def test_pre_commit_runs_the_locked_ruff() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0][
        "hooks"
    ]
    assert {pin for hook in hooks for pin in hook["additional_dependencies"]} == {
        f"ruff=={locked('ruff', '3.12')}"
    }


@cache
def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_file_names_a_package_index() -> None:
    address = re.compile(
        r"--(?:extra-)?index-url|--find-links|\[tool\.uv\.index|registry\s*=\s*.?http|pypi\.\w+/simple"
    )
    for file in files():
        assert file.name != "uv.lock"
        if file != Path(__file__) and file.stat().st_size < 3_000_000:
            found = address.search(file.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{file.relative_to(ROOT)} names a package index: {found.group()}"


def test_what_is_committed_stays_small() -> None:
    assert max(file.stat().st_size for file in files()) < 12_000_000


def test_a_new_lock_is_repeated_where_versions_stand(tmp_path: Path) -> None:
    for name in ("pyproject.toml", lock.CONDA, lock.HOOKS):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / lock.LOCK).write_text(re.sub(r"(?m)^ruff==\S+", "ruff==99.1", LOCK), encoding="utf-8")
    lock.repeat(tmp_path)
    assert "- ruff==99.1\n" in (tmp_path / lock.CONDA).read_text(encoding="utf-8")
    assert (tmp_path / lock.HOOKS).read_text(encoding="utf-8").count("ruff==99.1") == 2


def steps(workflow: str) -> list[dict]:
    jobs = yaml.safe_load(WORKFLOWS[workflow].read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_continuous_integration_runs_what_contributors_run() -> None:
    assert "exec make test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"make test", "py tools/make.py test", "make coverage"} <= {
        step.get("run") for step in steps("test")
    }
    nightly = yaml.safe_load(WORKFLOWS["nightly"].read_text(encoding="utf-8"))["jobs"]
    assert set(nightly["make"]["strategy"]["matrix"]["target"]) == {"both", "grading", "kill", "links"}
    assert nightly["wheel"]["strategy"]["matrix"]["python"] == PYTHONS
    tested = yaml.safe_load(WORKFLOWS["test"].read_text(encoding="utf-8"))["jobs"]["test"]["strategy"][
        "matrix"
    ]["include"]
    assert {row["os"].split("-")[0] for row in tested} == {"ubuntu", "macos", "windows"}
    assert {PYTHONS[0], PYTHONS[-1]} <= {row["python"] for row in tested} <= set(PYTHONS)


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_actions_are_pinned_by_their_commits(file: Path) -> None:
    for name in re.findall(r"uses: *(.+)", file.read_text(encoding="utf-8")):
        assert name.startswith("./.github/") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", name), name


def test_an_action_has_one_version_everywhere() -> None:
    pins = {pin for file in ACTIONS for pin in re.findall(r"uses: *(\w.+)", file.read_text(encoding="utf-8"))}
    names = [pin.split("@")[0] for pin in pins]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_no_more_unless_a_job_says_so(name: str) -> None:
    workflow = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_runs_is_there(name: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in (step.get("run", "") for step in steps(name)):
        assert set(re.findall(r"\bmake (\w+)", command)) <= targets
        assert all((ROOT / path).is_file() for path in re.findall(r"\b(?:tests|tools)/\w+\.py", command))


def test_the_containers_run_a_python_and_a_script_that_are_there() -> None:
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    container = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    assert set(re.findall(r"python:(3\.\d+)", docker + container)) <= set(PYTHONS)
    assert docker.count("tools/make.py") == 2 and container.count("python tools/make.py env --cpu") == 1


def test_citation_changelog_and_package_have_one_version(tmp_path: Path) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    paper = citation["preferred-citation"]
    names = " and ".join(f"{author['given-names']} {author['family-names']}" for author in paper["authors"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert names in readme and str(paper["year"]) in readme and paper["url"] in readme
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("tag", "changelog", "said"),
    [
        (
            "v2.0",
            "# C\n\n## Unreleased\n\n- x\n\n## 2.0 · 2027-01-02\n\n- new\n\n## 1.0 · 2026-01-02\n",
            "- new\n",
        ),
        ("v2.1", "# C\n\n## 2.0 · 2027-01-02\n\n- new\n", "error: the tag is v2.1, the package 2.0: "),
        (
            "v2.0",
            "# C\n\n## Unreleased\n\n- new\n",
            "error: CHANGELOG.md has no part '## 2.0 · YYYY-MM-DD': ",
        ),
    ],
)
def test_a_release_says_what_the_changelog_says(tmp_path: Path, tag: str, changelog: str, said: str) -> None:
    (tmp_path / "salmonn_mini").mkdir()
    (tmp_path / "salmonn_mini" / "__init__.py").write_text('__version__ = "2.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    try:
        found = release.notes(tag, tmp_path)
    except SystemExit as error:
        found = str(error)
    assert found == said if said.endswith("\n") else found.startswith(said)


def test_the_readme_says_of_each_way_whether_it_was_tried() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| where and how |") :].split("\n\n")[0].split("\n")[2:]
    ways = {row.split(" | ")[0].removeprefix("| "): row.split(" | ")[1] for row in table}
    for way in ("Linux", "macOS", "Windows", "conda", "Docker", "wheel", "Colab", "Kaggle", *PYTHONS):
        assert any(way in named for named in ways), way
    for way, said in ways.items():
        assert said.startswith(("tried", "untried", "in part: ")), way


def test_contributing_names_the_chapters_that_are_compared_in_full() -> None:
    page = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    *first, last = (str(int(name[:2])) for name in STRICT)
    assert f"In chapters {', '.join(first)} and {last} every cell is compared" in page


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "EXTENDING.md"])
def test_what_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert (
        set(re.findall(r"\bmake (\w+)\b", "\n".join(re.findall(r"`[^`\n]+`|^make .*", text, re.M))))
        <= targets
    )


@pytest.mark.skipif(sys.platform == "win32", reason="make is not used on Windows")
@pytest.mark.parametrize(("named", "remedy"), [("python-not-there", "name another"), ("sh", "name another")])
def test_a_wrong_python_is_refused_in_one_line(named: str, remedy: str) -> None:
    script = subprocess.run(
        ["sh", ".ci/find-python"],
        cwd=ROOT,
        env={"PYTHON": named, "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert script.returncode == 1
    assert script.stdout == ""
    assert re.fullmatch(rf"error: PYTHON={named} .*{remedy}\n", script.stderr)
