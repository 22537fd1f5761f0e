"""The documentation names every command, setting, problem and word, and its examples exist."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from amends import __version__
from amends.cli._app import app
from amends.engine import TRANSITIONS
from amends.models import MODELS
from amends.problems import CATALOGUE
from amends.processors.annotate._abilities import ABILITIES
from amends.server.settings import Settings
from amends.store import ORDER_TRANSITIONS, JobKind

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs").glob("**/*.md"))
WRITTEN = [page for page in PAGES if "reference" not in page.parts]


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "generate.py"))


def command_names(node: Any = app, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    names = [name for name in node if not name.startswith("-")]
    return [found for name in names for found in ((*prefix, name), *command_names(node[name], (*prefix, name)))]


def test_every_command_is_in_the_reference(generator: dict[str, Any]) -> None:
    page = generator["cli_page"]()
    commands = command_names()
    assert len(commands) >= 20
    for command in commands:
        assert f" amends {' '.join(command)}\n" in page


def test_every_problem_has_its_section_and_every_promised_sentence_stands(generator: dict[str, Any]) -> None:
    page = generator["problems_page"]()
    for row in CATALOGUE.values():
        assert f"## {row.slug}\n" in page
        assert row.remedy.hint in page
        for code in row.error_codes:
            assert f"`{code}`" in page
    assert page.count("\n- `") == len(generator["PROMISED"]) == 13


def test_every_setting_is_documented_with_its_variable(generator: dict[str, Any]) -> None:
    page = generator["settings_page"]()
    for one in Settings().described():
        assert one.doc, one.name
        assert f"| `{one.name}` | `AMENDS_{one.name.replace('.', '_').upper()}` |" in page


def test_every_transition_is_in_the_life_of_a_run(generator: dict[str, Any]) -> None:
    page = generator["states_page"]()
    for state, followers in TRANSITIONS.items():
        for follower in followers:
            assert f"| `{state}` | `{follower}` |" in page


def test_every_transition_is_in_the_life_of_an_order(generator: dict[str, Any]) -> None:
    page = generator["order_states_page"]()
    for status, followers in ORDER_TRANSITIONS.items():
        for follower in followers:
            assert f"| `{status}` | `{follower}` |" in page


def test_every_kind_and_every_model_that_labels_is_documented() -> None:
    page = (ROOT / "docs" / "howto" / "labelling.md").read_text("utf-8")
    for name in (*get_args(JobKind), *ABILITIES):
        assert f"| `{name}` |" in page


def test_every_model_is_documented() -> None:
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    assert [name for name in MODELS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_included_examples_and_links_between_pages_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    includes = re.findall(r'^--8<-- "([^"]+)"$', text, re.MULTILINE)
    assert len(includes) == text.count("--8"), "an include that a formatter has touched is shown as it stands"
    for included in includes:
        assert (ROOT / included).is_file() or "docs/reference" in included
    for target in re.findall(r"\]\(([^)#:]+\.md)", text):
        assert (page.parent / target).resolve().is_file() or "reference/" in target


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_that_the_pages_show_exist(page: Path) -> None:
    known = {command[0] for command in command_names()}
    shown = re.findall(r"(?:^\$ |`)amends ([a-z]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(shown) <= known


def test_changelog_and_version_agree() -> None:
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == __version__


def test_every_target_of_the_makefile_that_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(
            r"\bmake ([a-z]+)\b(?=`|  )", (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "README.md").read_text()
        )
    )
    assert {"demo", "test", "lint", "docs"} <= named <= targets


def test_locks_carry_hashes_and_no_address() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert {lock.stem for lock in locks} == {"core", "server", "models", "dev", "uv", "weights"}
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        pins = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", text, re.MULTILINE)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)


def test_dev_lock_pins_everything_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += group
    names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in wanted}  # type: ignore[index]
    lock = (ROOT / "requirements" / "dev.txt").read_text().lower()
    assert {name for name in names if f"\n{name}==" not in lock} <= {"amends"}
