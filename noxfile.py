"""What is run before a change goes in: ``nox`` for the ordinary sessions, ``nox -s chaos`` for the long proof."""

import shutil
import sys

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]

PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Everything a change must pass, in the environment nox itself runs in: style, types, and the suite at the end."""
    python = (sys.executable, "-m")
    for command in ("ruff check", "ruff format --check", "mypy"):
        session.run(*python, *command.split(), external=True)
    session.run(*python, "coverage", "erase", external=True)
    session.run(*python, "coverage", "run", "-m", "pytest", *session.posargs, external=True)
    session.run(*python, "coverage", "combine", "--quiet", external=True)
    session.run(*python, "coverage", "report", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The ordinary suite, with branch coverage, on every supported Python that is there."""
    session.install("-e", ".[test]")
    session.env["COVERAGE_FILE"] = f"{session.create_tmp()}/coverage"
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def chaos(session: nox.Session) -> None:
    """Never twice, never lost, by fault injection: the full counts, ended after ten minutes at the latest."""
    session.install("-e", ".[test]")
    session.run(
        "pytest", "tests/journal", "tests/chaos", "--durations=20", *session.posargs, env={"MOBIZ_CHAOS": "full"}
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Side by side with loops by hand, known clients and the limit, on a quiet machine: ``-- --full --docs``."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=PYTHONS)
def guard(session: nox.Session) -> None:
    """The cost a record against what is recorded, counted and not timed: ``-- --update`` records it."""
    session.install("-e", ".")
    counted = ["--instructions"] if shutil.which("valgrind") else []
    session.run("python", "-m", "benchmarks.guard", *counted, *session.posargs)
