"""What is run before a change goes in: ``nox`` for the ordinary sessions, ``nox -s chaos`` for the long proof."""

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
TWO_AT_ONCE = ("-n", "2", "--dist", "loadfile")


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Everything a change must pass, in the environment nox itself runs in: style, types, and the suite at the end."""
    python = (sys.executable, "-m")
    for command in ("ruff check", "ruff format --check", "mypy", "mypy --platform win32"):
        session.run(*python, *command.split(), external=True)
    session.run(*python, "coverage", "erase", external=True)
    session.run(*python, "coverage", "run", "-m", "pytest", *TWO_AT_ONCE, *session.posargs, external=True)
    session.run(*python, "coverage", "combine", "--quiet", external=True)
    session.run(*python, "coverage", "report", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The ordinary suite, with branch coverage, on every supported Python that is there."""
    session.install("-e", ".[test]")
    session.env["COVERAGE_FILE"] = f"{session.create_tmp()}/coverage"
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *TWO_AT_ONCE, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def uvloop(session: nox.Session) -> None:
    """The ordinary suite in uvloop, which does not behave like asyncio's own loop where connections break."""
    session.install("-e", ".[test]")
    session.run("pytest", *TWO_AT_ONCE, *session.posargs, env={"MOBIZ_TEST_LOOP": "uvloop"})


@nox.session
def tls(session: nox.Session) -> None:
    """What crosses sockets, over https, as it does to the vendor: with a certificate that is made for it."""
    session.install("-e", ".[test]")
    made = Path(session.create_tmp()).absolute()
    session.run("python", "-m", "trustme", "--quiet", "-d", str(made), "-i", "127.0.0.1", "::1", "localhost")
    over_https = {"MOBIZ_TEST_TLS": str(made), "SSL_CERT_FILE": str(made / "client.pem")}
    tests = session.posargs or ("tests/core", "tests/journal", "tests/chaos")
    session.run("pytest", *TWO_AT_ONCE, *tests, env=over_https)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("mypy", "--platform", "win32")


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


@nox.session
def docs(session: nox.Session) -> None:
    """The site, with every warning an error, into docs/_build/html; no network is needed."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-E", "docs", "docs/_build/html", *session.posargs)


FOR_CONTRIBUTORS = {"test", "bench", "docs", "dev"}
NAMED = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
EXTRAS = ("", *(extra for extra in NAMED if extra not in FOR_CONTRIBUTORS))


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist: what is in them, each extra on each Python that is found, the quickstart, the typed API."""
    session.install("build", "twine", "virtualenv")
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    session.run("twine", "check", "--strict", *map(str, built.iterdir()))
    session.run("python", "tests/packaging/check_distributions.py", str(built))
    (wheel,) = (path.absolute() for path in built.glob("*.whl"))
    for python in _pythons():
        for extra in EXTRAS:
            _check_installed(session, python, wheel, extra)
    _check_types(session, wheel)


def _pythons() -> list[str]:
    """Return a Python of each supported version that is found, on the path or where pyenv keeps them."""
    pyenv = Path.home() / ".pyenv" / "versions"
    found = []
    for version in PYTHONS:
        kept = [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
        found += [*kept, *filter(None, [shutil.which(f"python{version}")])][:1]
    return found


def _environment(session: nox.Session, python: str, *requirements: str) -> Path:
    """Make an empty environment with ``requirements``; return its folder of commands."""
    folder = Path(session.create_tmp()).absolute() / "environment"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("virtualenv", "--quiet", "--python", python, str(folder))
    commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
    quiet = ("--quiet", "--disable-pip-version-check")
    session.run(str(commands / "python"), "-m", "pip", "install", *quiet, *requirements, external=True, silent=True)
    return commands


def _check_installed(session: nox.Session, python: str, wheel: Path, extra: str) -> None:
    commands = _environment(session, python, f"{wheel}[{extra}]" if extra else str(wheel))
    script = Path("tests/packaging/check_installed.py").absolute()
    with session.chdir(commands):
        session.run(str(commands / "python"), "-I", str(script), *filter(None, [extra]), external=True)
    if extra == "all":
        session.run("python", "tests/docs/follow_quickstart.py", str(commands))


def _check_types(session: nox.Session, wheel: Path) -> None:
    """Read ``tests/typing/api.py`` with two type checkers, against the wheel and not against the tree."""
    commands = _environment(session, sys.executable, str(wheel), "mypy", "basedpyright")
    api = Path("tests/typing/api.py").absolute()
    with session.chdir(commands):
        session.run(str(commands / "mypy"), "--strict", "--config-file=", str(api), external=True)
        python = ("--pythonpath", str(commands / "python"))
        session.run(str(commands / "basedpyright"), "--level", "error", *python, str(api), external=True)
