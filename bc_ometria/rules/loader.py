"""Read a YAML file that people edit into a pydantic model, and say where it is wrong when it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

Where = tuple[int | str, ...]
"""The way to a value: keys of mappings and positions in lists, as pydantic's ``loc``."""


class RulesError(ValueError):
    """A rules file that cannot be used; the text is a line ``file:line: field: what is wrong`` per fault."""


def load_yaml_model(path: Path, model: type[Model]) -> Model:
    """The content of the YAML file ``path`` as a ``model``.

    Keys are always text: ``010:`` is the code 010 and ``NO:`` is Norway, not eight and not false. A key that
    stands twice is refused.

    Raises ``RulesError`` with file, line, field, what is wrong, and the allowed values where they are known.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RulesError(f"{path}:{line}: is not YAML: {error.problem}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RulesError(f"{path}:1: cannot be read: {error}") from None
    if node is None:
        raise RulesError(f"{path}:1: is empty{_allowed(_fields(model))}")

    lines: dict[Where, int] = {}
    content = _plain(loader, node, path, (), lines)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [_fault(model, fault, lines) for fault in error.errors(include_url=False)]
        raise RulesError("\n".join(f"{path}:{line}: {text}" for line, text in sorted(faults))) from None


def _plain(loader: yaml.SafeLoader, node: yaml.Node, path: Path, where: Where, lines: dict[Where, int]) -> object:
    """The node as dicts, lists and scalars; notes the line of every value under its ``where``."""
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        content: dict[str, object] = {}
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key, str):
                raise RulesError(f"{path}:{line}: a key must be plain text")
            if key in content:
                raise RulesError(f"{path}:{line}: {_dotted((*where, key))}: stands here a second time")
            lines[(*where, key)] = line
            content[key] = _plain(loader, value_node, path, (*where, key), lines)
        return content
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, path, (*where, i), lines) for i, item in enumerate(node.value)]
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        text = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise RulesError(f"{path}:{node.start_mark.line + 1}: {_dotted(where)}: {text}") from None


def _fault(model: type[BaseModel], fault: ErrorDetails, lines: dict[Where, int]) -> tuple[int, str]:
    """Line and text of one of pydantic's findings."""
    where: Where = tuple(step for step in fault["loc"] if step != "[key]")
    line = next(lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in lines)
    return line, f"{_dotted(where)}: {_what(model, where, fault)}"


def _what(model: type[BaseModel], where: Where, fault: ErrorDetails) -> str:
    kind, given = fault["type"], fault["input"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is not a known field{_allowed(_fields(_type_at(model, where[:-1])))}"
    if kind in ("literal_error", "enum"):
        return f"{given!r} is not possible here (allowed: {fault['ctx']['expected']})"
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    if kind == "string_type" and isinstance(given, int | float):
        return f"{given!r} is a {type(given).__name__}, not text: write it in quotes"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return message if isinstance(given, dict | list) else f"{given!r}: {message}"


def _type_at(model: object, where: Where) -> object:
    """The annotation of what stands at ``where`` in ``model``; ``None`` where that cannot be told."""
    for step in where:
        model = next((part for part in _step(model, step) if part is not None), None)
    return model


def _step(model: object, step: int | str) -> Iterator[object]:
    if isinstance(model, type) and issubclass(model, RootModel):
        yield from _step(model.model_fields["root"].annotation, step)
    elif isinstance(model, type) and issubclass(model, BaseModel):
        yield field.annotation if (field := model.model_fields.get(str(step))) else None
    elif get_origin(model) is Annotated:
        yield from _step(get_args(model)[0], step)
    elif get_origin(model) in (dict, list, tuple):
        yield get_args(model)[-1 if get_origin(model) is dict else 0]
    elif get_origin(model) is Union or type(model).__name__ == "UnionType":
        for part in get_args(model):
            yield from _step(part, step)


def _fields(model: Any) -> list[str]:
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, RootModel):
        return []
    return list(model.model_fields)


def _allowed(values: list[str]) -> str:
    return f" (allowed: {', '.join(values)})" if values else ""


def _dotted(where: Where) -> str:
    return ".".join(map(str, where)) or "the file"
