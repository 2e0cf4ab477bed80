"""The structure of the project: who may import whom, and that what is written down is what there is."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bc_ometria.cli import main
from bc_ometria.config import OPTIONAL_VARIABLES, VARIABLES

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "bc_ometria"

# --- imports -------------------------------------------------------------------------------------------------


def _imports(module: Path) -> set[str]:
    """The modules that a file imports, anywhere in it; of ``from x import y`` both ``x`` and ``x.y``."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def _ours(part: str) -> dict[str, set[str]]:
    """Each module of a part of the project, with the parts of the project that it imports."""
    path = PACKAGE / part
    modules = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert modules, f"there is no {part}"
    return {
        module.relative_to(PROJECT).as_posix(): {
            name.split(".")[1] for name in _imports(module) if name.startswith("bc_ometria.")
        }
        for module in modules
    }


def _parts() -> set[str]:
    """The packages and modules right below ``bc_ometria``."""
    entries = [entry for entry in PACKAGE.iterdir() if not entry.name.startswith("__")]
    return {entry.stem for entry in entries if entry.suffix == ".py" or any(entry.glob("*.py"))}


LAYERS: dict[str, set[str]] = {
    # What the two systems and the store are: they do not know each other.
    "sandbox": set(),
    "iso": set(),
    "rules": set(),
    "ometria": {"iso"},
    "blue_cherry": {"iso", "rules"},  # a tenant profile is a file that people edit, read as all of them are
    "store": set(),
    "mapping": {"rules"},
    # What joins them.
    "config": {"blue_cherry", "rules"},
    "resources": {"blue_cherry", "config", "delivery", "ometria", "rules", "store"},
    "delivery": {"ometria", "rules", "store"},
    "checks": {"assets", "config", "delivery", "resources", "rules", "store"},
    "automation": {"assets", "blue_cherry", "checks", "config", "delivery", "resources", "rules", "store"},
    "assets": {"automation", "blue_cherry", "checks", "delivery", "mapping", "ometria", "resources", "rules", "store"},
    "report": {"delivery", "store"},
    "doctor": {"blue_cherry", "config", "ometria", "rules", "store"},
    "home": {"store"},
    # What people start.
    "definitions": {"assets", "automation", "checks", "resources"},
    "demo": {"automation", "config", "definitions", "home", "rules", "store"},
    "cli": {"assets", "automation", "blue_cherry", "config", "definitions", "delivery", "demo", "doctor", "home",
            "ometria", "report", "resources", "rules", "sandbox", "store"},
}  # fmt: skip
"""Each part of the project and the other parts that it may import. `design.md`'s rules, spelt out."""


def test_every_part_has_a_rule() -> None:
    assert _parts() == set(LAYERS)


@pytest.mark.parametrize("part", LAYERS)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    for module, imported in _ours(part).items():
        assert imported - {part} <= LAYERS[part], module


def test_the_two_systems_and_the_store_do_not_know_each_other() -> None:
    """The rule itself, beside the table above, so that nobody widens it there."""
    for part in ("blue_cherry", "ometria", "store"):
        assert not LAYERS[part] & {"blue_cherry", "ometria", "store", "mapping", "assets", "sandbox"}


def test_only_what_people_start_imports_the_definitions_and_nothing_imports_the_commands() -> None:
    assert {part for part, may in LAYERS.items() if "definitions" in may} == {"demo", "cli"}
    assert not any("cli" in may for may in LAYERS.values())


def test_only_the_commands_start_the_sandbox() -> None:
    """The stand-ins share no code with what they test."""
    assert {part for part, may in LAYERS.items() if "sandbox" in may} == {"cli"}


def test_the_mapping_is_pure() -> None:
    """No input or output, no clock, no chance, no Dagster: of what is installed only pandas, numpy and orjson."""
    forbidden = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "sys",
                 "tempfile", "threading", "time", "urllib", "uuid"}  # fmt: skip
    allowed = (sys.stdlib_module_names - forbidden) | {"pandas", "numpy", "orjson", "bc_ometria"}
    for module in sorted((PACKAGE / "mapping").rglob("*.py")):
        assert {name.split(".")[0] for name in _imports(module)} <= allowed, module.name
        calls = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)
        }
        asked = {"now", "utcnow", "today", "open", "read_text", "read_csv", "to_csv"}
        assert {call for call in calls if call.rpartition(".")[2] in asked} == set(), module.name


def test_only_the_wiring_knows_dagster() -> None:
    wiring = {"assets", "automation", "checks", "cli", "definitions", "demo", "resources"}
    for module in sorted(PACKAGE.rglob("*.py")):
        if any(name.split(".")[0] == "dagster" for name in _imports(module)):
            assert module.relative_to(PACKAGE).parts[0].removesuffix(".py") in wiring, module


# --- the environment -----------------------------------------------------------------------------------------


def _example() -> set[str]:
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def test_the_example_names_every_variable_and_no_other() -> None:
    assert _example() == {*VARIABLES, *OPTIONAL_VARIABLES}


def test_every_variable_that_the_definitions_ask_for_is_a_setting() -> None:
    asked = set()
    for module in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("EnvVar"):
                asked.add(ast.literal_eval(node.args[0]))
    assert asked
    assert asked <= set(VARIABLES)
    assert asked <= _example()


def test_the_instance_asks_for_settings_only() -> None:
    text = (PROJECT / "dagster.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"env: (\w+)", text)) <= set(VARIABLES)


_WITHOUT_ANYTHING = """
import socket, sys

def forbidden(*_, **__):
    raise AssertionError("the import opened a socket")

socket.socket.connect = forbidden
socket.create_connection = forbidden
socket.getaddrinfo = forbidden
import bc_ometria.definitions
repository = bc_ometria.definitions.defs.get_repository_def()
assert repository.get_all_jobs()
assert not [name for name in sys.modules if name.startswith(("bc_ometria.sandbox", "bc_ometria.cli"))]
"""


def test_the_definitions_load_without_environment_and_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WITHOUT_ANYTHING],
        env={"PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


# --- what is written down --------------------------------------------------------------------------------------


def _repository() -> Iterator[Path]:
    """Every file that belongs to the repository, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    yield from (path for name in sorted(set(listed.split("\0")) - {""}) if (path := PROJECT / name).is_file())


def _documents() -> list[Path]:
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def _targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))


def _code(document: Path) -> list[str]:
    """What stands in a document as code: fenced blocks line by line, and spans."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", prose)


@pytest.mark.parametrize("document", _documents(), ids=lambda path: path.name)
def test_every_command_in_a_document_exists(document: Path) -> None:
    for code in _code(document):
        for rest in re.findall(r"(?:^|[\s/(])bc-ometria +([a-z][^#|&;)]*)", code):
            words = rest.split()
            assert words[0] in main.commands, f"{document.name}: {code}"
            known = {option for each in main.commands[words[0]].params for option in each.opts}
            given = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
            assert given <= known | {"--help"}, f"{document.name}: {code}"
        for rest in re.findall(r"^\$? *make +([a-z][^#|&;]*)", code):
            called = {word for word in rest.split() if re.fullmatch(r"[a-z][\w-]*", word)}
            assert called, f"{document.name}: {code}"
            assert called <= _targets(), f"{document.name}: {code}"


def test_every_command_is_documented() -> None:
    text = "\n".join(document.read_text(encoding="utf-8") for document in _documents())
    assert [name for name in main.commands if f"bc-ometria {name}" not in text] == []


def test_every_target_of_make_is_explained_by_make_help() -> None:
    told = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    explained = set(re.findall(r"^make (\S+)", told, re.MULTILINE))
    assert explained >= {"setup", "demo", "dev", "test", "bench", "clean"}
    assert explained <= _targets()


@pytest.mark.parametrize("document", _documents(), ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document.name} → {target}"


def trees(document: Path) -> Iterator[list[Path]]:
    """Every folder tree printed in a document: fenced blocks in which a line is a folder and others lie in it.

    A line is a path, or several with `` · `` between them, then two blanks and what it is. Indentation, drawn
    with ``├──`` or blank, says what lies where; a tree whose first line is no path of the project's root hangs
    below the root all the same.
    """
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        lines = [re.sub(r"[│├└─]", " ", line).rstrip() for line in block.splitlines() if line.strip()]
        folders = [line for line in lines if re.match(r" *[\w.-]+(/[\w.-]+)*/(  |$)", line)]
        if not folders or len(lines) < 3 or not any(line.startswith("  ") for line in lines):
            continue
        found, above = [], [(-1, PROJECT)]
        for line in lines:
            depth = len(line) - len(line.lstrip())
            while above[-1][0] >= depth:
                above.pop()
            names = [name for name in re.split(r"  +", line.strip())[0].split(" · ") if name]
            found += [above[-1][1] / name for name in names]
            if names[0].endswith("/"):
                above.append((depth, above[-1][1] / names[0]))
        yield found


@pytest.mark.parametrize("document", _documents(), ids=lambda path: path.name)
def test_every_path_of_a_printed_folder_tree_exists(document: Path) -> None:
    for tree in trees(document):
        assert [path.relative_to(PROJECT).as_posix() for path in tree if not path.exists()] == []


def test_a_folder_tree_that_is_printed_shows_every_part_of_the_project() -> None:
    """Some document prints the project's tree; whichever lists `bc_ometria/` lists all that lies in it."""
    printed = [tree for document in _documents() for tree in trees(document) if PACKAGE in tree]
    assert printed, "no document shows the folder tree of the project"
    for tree in printed:
        shown = {path.name.removesuffix(".py") for path in tree if path.parent == PACKAGE}
        assert shown == _parts()


def test_the_test_of_folder_trees_sees_a_wrong_one(tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text("```\nbc_ometria/\n  cli.py     commands\n  nowhere/   not there\n    lost.py\n```\n")
    (tree,) = trees(document)
    assert [path.relative_to(PROJECT).as_posix() for path in tree if not path.exists()] == [
        "bc_ometria/nowhere",
        "bc_ometria/nowhere/lost.py",
    ]


def test_workspace_and_project_name_one_location() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text(encoding="utf-8"))
    ((module,),) = [list(entry.values()) for entry in workspace["load_from"]]
    dagster = project["tool"]["dagster"]
    assert (module["module_name"], module["location_name"]) == (dagster["module_name"], dagster["code_location_name"])


def test_the_locked_versions_are_exact_and_those_that_the_project_asks_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(pin) for line in lines if (pin := line.split("#")[0].strip())]
    assert [str(pin) for pin in pins if [each.operator for each in pin.specifier] != ["=="]] == []
    locked = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text


_MACHINE = re.compile(r"(?<![\w.$}~-])/(?:work|tmp|root|home|Users|mnt)/[\w.]+")
_PUBLIC = re.compile(
    r"([\w-]+\.)*example\.com|\w*bcapi\.azure-api\.net|api\.ometria\.com|([\w-]+\.)*dagster\.io|localhost|127\.0\.0\.1"
)
"""Hosts that may stand in the repository, beside those that a program puts together."""


def test_no_file_names_a_path_of_a_machine_or_a_host_that_is_not_public() -> None:
    for path in _repository():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture has no text
        assert path == Path(__file__).resolve() or _MACHINE.findall(text) == [], path
        hosts = {host.rstrip(".") for host in re.findall(r"https?://(?:[\w:]+@)?([\w.-]+)", text)}
        assert {host for host in hosts if not _PUBLIC.fullmatch(host)} == set(), path
