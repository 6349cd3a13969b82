# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make test` runs: one entry for each step. run_steps.py runs them, at most two at a time."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from setup_env import BUILD, ROOT, venv
from trees import INSIDE

TREE = BUILD / "tree" / INSIDE
DIST = BUILD / "dist"
JUNIT = BUILD / "junit"
JOBS = os.environ.get("PILW_TEST_JOBS", "3")
SOAK_MINUTES = os.environ.get("PILW_TEST_SOAK_MINUTES", "30")
SOAK_SEEDS = os.environ.get("PILW_TEST_SOAK_SEEDS", "").split()

# Steps that keep all processors busy and have people's time limits to keep: never two of them at once.
BUSY = "busy"

# Said by ansible-test when it did less than it was asked to, with exit status 0.
SILENT_PASS = r'All targets skipped|Required program "|Skipping sanity test|^WARNING: Excluding'


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    command: tuple[str, ...]
    env: str = "main"
    kind: str = "plain"  # plain, pytest, units, sanity, integration: how its tests are counted; setup: it has none
    cwd: Path = ROOT
    collections: Path = BUILD / "link"
    lock: str = ""  # steps with the same lock never run at the same time
    after: tuple[str, ...] = ()
    must_say: str = ""
    must_not_say: str = ""
    timeout: int = 900
    variables: tuple[tuple[str, str], ...] = ()
    default: bool = True  # False: only when it is named


def pytest(name: str, *args: str, env: str = "main", lock: str = "", timeout: int = 1200) -> Step:
    command = (str(venv(env) / "bin" / "pytest"), f"--junitxml={JUNIT / name}.xml", *args)
    return Step(name, command, env=env, kind="pytest", lock=lock, timeout=timeout)


def ansible_test(kind: str, env: str, *args: str) -> Step:
    # {python} becomes the version of the environment's interpreter once that exists.
    command = (str(venv(env) / "bin" / "ansible-test"), kind, "--venv", "--python", "{python}", "--color", "no", *args)
    return Step(
        f"{kind}-{env}",
        command,
        env=env,
        kind=kind,
        cwd=BUILD / f"tree-{env}" / INSIDE,
        lock=f"ansible-test-{env}",
        must_not_say=SILENT_PASS,
    )


def static(name: str, *command: str, must_say: str = "", must_not_say: str = "", cwd: Path = TREE) -> Step:
    # The linters write caches into the folder they check: one after the other.
    return Step(name, command, cwd=cwd, collections=BUILD / "tree", lock="tree", must_say=must_say, must_not_say=must_not_say)


def sanity(env: str) -> Step:
    # pslint looks at PowerShell files, of which there are none, and needs a program that machines rarely have.
    return ansible_test("sanity", env, "--skip-test", "pslint")


def every_core(env: str) -> Step:
    return pytest(f"scenarios-{env}", "tests/scenarios", "-m", "every_core and not full", "-n", JOBS, "--dist", "worksteal", env=env, lock=BUSY)


def end_to_end(name: str, which: str, timeout: int) -> Step:
    step = pytest(name, "tests/e2e", "-m", which, "-o", "faulthandler_timeout=1800", lock=BUSY, timeout=timeout)
    return dataclasses.replace(step, after=("e2e-packages",))


def controller(env: str, *args: str) -> Step:
    """The set-up of a controller, with the modules that awx-modules brings."""
    name = "awx" if env == "main" else f"awx-{env}"
    return dataclasses.replace(pytest(name, "tests/awx", "-o", "faulthandler_timeout=900", *args, env=env, timeout=2400), after=("awx-modules",))


def documentation_site() -> list[Step]:
    # The collection file holds the pages, and not what makes a site of them.
    step = Step("site", ("python", "tests/tools/build_site.py", str(BUILD / "site")), must_say=r"^The site is in ")
    return [step] if (ROOT / "docs" / "site").is_dir() else []


def shell_scripts() -> list[str]:
    scripts = [".ci/run", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("*.sh")) if "output" not in path.parts)]
    return [script for script in scripts if (ROOT / script).is_file()]


def all_steps() -> list[Step]:
    """In the order of their start, as far as locks allow."""
    # The simulated platform may bring tests of its own.
    cloud = ["tests/cloud"] if any((ROOT / "tests" / "cloud").rglob("test_*.py")) else []
    return [
        pytest("unit", "tests/unit", *cloud),
        pytest("scenarios", "tests/scenarios", "-m", "not full", "-n", JOBS, "--dist", "worksteal", lock=BUSY, timeout=4200),
        # Many whole plays each, of which the default run has the like.
        dataclasses.replace(
            pytest("scenarios-full", "tests/scenarios", "-m", "full", "-n", JOBS, "--dist", "worksteal", lock=BUSY), default=False
        ),
        # That it measures; what it measures is asked for with make bench.
        dataclasses.replace(pytest("benchmark", "tests/benchmark"), variables=(("PYTHONPATH", f"{BUILD / 'link'}:{ROOT / 'tests'}"),)),
        # Virtual time, one thread: a core of its own while the scenarios wait. One test takes minutes, and Python dies where it is to
        # show the stacks of greenlets, so this step alone has the time limit.
        pytest("properties", "tests/properties", "-o", "faulthandler_timeout=0", timeout=1200),
        dataclasses.replace(
            Step("soak", (str(venv("main") / "bin" / "python"), "tests/properties/soak.py", SOAK_MINUTES, *SOAK_SEEDS)),
            variables=(("PYTHONPATH", f"{BUILD / 'link'}:{ROOT / 'tests'}"),),
            must_say=r"^\d+ rounds, seeds: \d",
            timeout=60 * (int(SOAK_MINUTES) + 30),
            default=False,
        ),
        dataclasses.replace(
            Step("bench", (str(venv("main") / "bin" / "python"), "-m", "benchmark", "--out", str(BUILD / "benchmark"))),
            variables=(("PYTHONPATH", f"{BUILD / 'link'}:{ROOT / 'tests'}"),),
            must_say=r"^The table is in ",
            timeout=3600,
            default=False,
        ),
        dataclasses.replace(
            pytest("soak-killed", "tests/scenarios/test_killed_anywhere.py", timeout=60 * (int(SOAK_MINUTES) + 30)),
            variables=(("PILW_TEST_KILLED_MINUTES", SOAK_MINUTES),),
            default=False,
        ),
        # As root on Debian: packages for a real Ceph and real guests, then whole maintenances on them.
        Step("e2e-packages", ("sh", "tests/e2e/install.sh", str(BUILD / "guest")), kind="setup"),
        end_to_end("e2e", "not full", timeout=3600),
        dataclasses.replace(end_to_end("e2e-full", "full", timeout=7200), default=False),
        Step("awx-modules", (str(venv("main") / "bin" / "python"), "tests/tools/awx_modules.py"), kind="setup"),
        controller("main"),
        static("ruff", "ruff", "check", "--no-cache", "."),
        static("yamllint", "yamllint", "--strict", "."),
        static("shellcheck", "shellcheck", *shell_scripts()),
        static("ansible-lint", "ansible-lint", "--offline", "--nocolor", must_say=r"in [1-9]\d* files? processed"),
        dataclasses.replace(
            static(
                "ansible-lint-args",
                *("ansible-lint", "--offline", "--nocolor", "-c", ".ansible-lint-args.yml"),
                must_say=r"in [1-9]\d* files? processed",
                must_not_say=r"^args\[",
            ),
            # The rule does not see module_defaults, where the roles give the connection: let the modules find it here.
            variables=(("API_HOST", "api.example.com"), ("ADMIN_APIKEY", "none")),
            # A second whole run of the linter for one rule: only when asked for (make lint).
            default=False,
        ),
        static("docs", "antsibull-docs", "lint-collection-docs", "--plugin-docs", "."),
        *documentation_site(),
        static("changelog", "antsibull-changelog", "lint"),
        static("reuse", "reuse", "lint", must_say=r"compliant"),
        static(
            "mypy",
            *("mypy", "--config-file", str(ROOT / "mypy.ini"), "--cache-dir", str(BUILD / "cache" / "mypy")),
            *("-p", "ansible_collections.pilw.maintenance.plugins.module_utils"),
            must_say=r"no issues found in [1-9]\d* source files?",
            cwd=BUILD / "tree",
        ),
        static("build", "sh", "tests/tools/check_build.sh", str(TREE), str(DIST)),
        sanity("main"),
        # Minutes each: on the other cores only when asked for (make sanity).
        dataclasses.replace(sanity("floor"), default=False),
        dataclasses.replace(sanity("newest"), default=False),
        pytest("unit-floor", "tests/unit", env="floor"),
        pytest("unit-newest", "tests/unit", env="newest"),
        # ansible-test forks for each test; plain pytest tells the same in a fraction of the time.
        dataclasses.replace(ansible_test("units", "main", "--requirements"), default=False),
        dataclasses.replace(ansible_test("units", "floor", "--requirements"), default=False),
        dataclasses.replace(ansible_test("units", "newest", "--requirements"), default=False),
        ansible_test("integration", "main", "--requirements"),
        ansible_test("integration", "floor", "--requirements"),
        ansible_test("integration", "newest", "--requirements"),
        every_core("floor"),
        every_core("newest"),
        controller("floor", "-m", "every_core"),
        controller("newest", "-m", "every_core"),
        dataclasses.replace(
            static(
                "importer",
                *("sh", "-c", "exec python -m galaxy_importer.main pilw-maintenance-*.tar.gz"),
                must_say=r"Importer processing completed successfully",
                cwd=DIST,
            ),
            env="importer",
            lock="",
            after=("build",),
        ),
    ]


def integration_targets() -> set[str]:
    """Each must run, but for the ones that others only depend on."""
    targets = set()
    for folder in (ROOT / "tests" / "integration" / "targets").glob("*"):
        aliases = folder / "aliases"
        words = re.sub(r"#.*", "", aliases.read_text()).split() if aliases.is_file() else []
        if folder.is_dir() and not folder.name.startswith(("setup_", "prepare_")) and "hidden" not in words:
            targets.add(folder.name)
    return targets
