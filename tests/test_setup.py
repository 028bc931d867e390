"""pyproject.toml, requirements.lock and environment.yml say the same, and the two commands exist."""

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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if re.match(r"\w", line)]
PROJECT = PYPROJECT["project"]
DIRECT = [
    Requirement(line)
    for lines in (
        PROJECT["dependencies"],
        PROJECT["optional-dependencies"]["web"],
        PYPROJECT["dependency-groups"]["dev"],
    )
    for line in lines
]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
IDS = [requirement.name for requirement in DIRECT]


def locked(name: str, python: str, platform: str = "linux") -> str:
    """The one version of `name` that the lock gives to this Python on this platform."""
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    found = [
        requirement
        for requirement in LOCKED
        if canonicalize_name(requirement.name) == canonicalize_name(name)
        and (requirement.marker is None or requirement.marker.evaluate(place))
    ]
    assert len(found) == 1, f"{name} on {python}, {platform}: the lock names {len(found)} versions"
    return str(found[0].specifier).removeprefix("==")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("requirement", DIRECT, ids=IDS)
def test_the_lock_gives_every_python_a_version_within_range(requirement: Requirement, platform: str) -> None:
    for python in PYTHONS:
        assert locked(requirement.name, python, platform) in requirement.specifier


def test_the_lock_is_for_the_pythons_that_the_project_accepts() -> None:
    accepted = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [python for python in ("3.9", *PYTHONS, "3.15") if python in accepted] == PYTHONS
    assert f"--python-version {PYTHONS[0]} " in LOCK.splitlines()[1]


def test_every_locked_package_is_checked_by_its_hash() -> None:
    assert re.findall(r"^\w.*[^\\]$", LOCK, re.MULTILINE) == []
    assert LOCK.count("--hash=sha256:") > len(LOCKED)


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


def test_continuous_integration_calls_make_test() -> None:
    assert "exec make test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert {"run": "make test"} in workflow["jobs"]["test"]["steps"]
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))
    assert {"run": "make both"} in nightly["jobs"]["both"]["steps"]


@pytest.mark.skipif(sys.platform == "win32", reason="make is not used on Windows")
def test_the_environment_comes_with_its_bytecode() -> None:
    steps = subprocess.run(
        ["make", "--dry-run", "--always-make", "env"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (sync,) = [line for line in steps.stdout.splitlines() if " pip sync " in line]
    assert "--compile-bytecode" in sync


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert (
        set(re.findall(r"\bmake (\w+)\b", "\n".join(re.findall(r"`[^`]+`|^    .*|^make .*", text, re.M))))
        <= targets
    )
    links = [
        link for link in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", text) for link in link if link
    ]
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), f"{page} links to {link}"


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
