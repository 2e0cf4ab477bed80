"""P15: every code that can open an exception has an owner, a meaning and a first action. That a check shows it is
tested with the checks, that it has a page with the runbook."""

import ast
from collections.abc import Iterator
from pathlib import Path

import bc_ometria
from bc_ometria.rules import Rules

_HOUSE = Path(bc_ometria.__file__).parent
_RAISING = (
    "checks/contracts.py",
    "assets/ometria.py",
    "delivery/refusals.py",
    "delivery/proof.py",
    "delivery/late.py",
    "delivery/merges.py",
)

_CODE_AT = {"_filled": 0, "_same": 0, "field_findings": 2, "open_one": 1}
"""The position of the code among the arguments of each call that opens a finding."""

_OPENING = ("open_one", "exceptions.record", "field_findings", "pa.Check")
"""What only a module that opens exceptions calls."""


def _raised(source: str) -> Iterator[str]:
    """The codes that a module opens: named as the error of a check, in a call, as a default or in a column."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (_text(keyword.value) for keyword in node.keywords if keyword.arg in ("error", "code"))
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if len(node.args) > _CODE_AT.get(name, 99):
                code = node.args[_CODE_AT[name]]
                yield from map(_text, (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,))
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args.args[-len(node.args.defaults) :] if node.args.defaults else []
            for argument, default in zip(arguments, node.args.defaults, strict=True):
                if argument.arg == "code":
                    yield _text(default)
            if node.name == "_lack":
                yield from (_text(part) for part in ast.walk(node.body[-1]))
        elif isinstance(node, ast.Dict):
            yield from (_text(value) for key, value in zip(node.keys, node.values, strict=True) if _text(key) == "code")


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _raised_anywhere() -> set[str]:
    found = {code for module in _RAISING for code in _raised((_HOUSE / module).read_text(encoding="utf-8"))}
    return found - {"", "hold"}


def test_every_code_that_is_raised_has_an_owner_and_every_owner_a_code(rules: Rules) -> None:
    assert _raised_anywhere() == set(rules.exceptions)


def test_no_other_module_opens_exceptions() -> None:
    """Otherwise the test above would look in the wrong places."""
    openers = {
        str(path.relative_to(_HOUSE))
        for path in _HOUSE.rglob("*.py")
        if any(f"{name}(" in path.read_text(encoding="utf-8") for name in _OPENING)
    }
    assert openers - {"store/exceptions.py", "blue_cherry/schemas.py"} <= set(_RAISING)


def test_owner_meaning_and_action_are_words(rules: Rules) -> None:
    for code, rule in rules.exceptions.items():
        assert rule.owner in ("Marketing", "Ecommerce", "Operations"), code
        assert len(rule.meaning.split()) >= 4, f"{code}: the meaning is no sentence"
        assert rule.action.strip(), f"{code}: no first action"
        assert code not in rule.meaning, f"{code}: the meaning repeats the code"


def test_what_waits_and_what_lasts_is_said_of_the_codes_that_need_it(rules: Rules) -> None:
    """Q2: an incomplete order waits in sight first. A journey that was missed cannot be mended, nor
    what nobody knows be learned."""
    assert {code for code, rule in rules.exceptions.items() if rule.wait_min} == {"incomplete_order"}
    assert {code for code, rule in rules.exceptions.items() if rule.lasts_h} == {
        "event_too_late",
        "event_outcome_unknown",
    }
