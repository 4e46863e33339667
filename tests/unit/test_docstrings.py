"""What docstrings promise: parameters by name, arrays with their shapes, in every room."""

import ast
import collections
import re

import pytest
from source_trees import MODULES, TREES

#: Annotations of arrays and tensors.
ARRAY = re.compile(r"\b(F32|F64|I32|I64|Bool|Floats|AnyArray|LargeArray|NDArray|ndarray|Tensor)\b")
#: Containers of arrays: the shapes are those of what they hold.
CONTAINER = re.compile(r"\b(Mapping|Sequence|Iterable|dict|list|tuple)\[")
#: Types of the parameters of families of functions, whose shapes stand once, at the head of their module.
FAMILIES = re.compile(r"\b(FamilyParameters|LawParameters)\b")
#: A section's heading, and an entry of it.
SECTION = re.compile(r"^(\w+)\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", re.M | re.S)
ENTRY = re.compile(r"^([*\w][*\w, ]*?)(?: : (.*))?$", re.M)
#: Parameters that mean the same everywhere (`jobs.report_progress`).
WORK = {"progress", "cancel"}


def _find_room(module):
    parts = module.split(".")
    return tuple(parts[1:3]) if parts[1:2] == ["training"] else tuple(parts[1:2])


def _parameters(node):
    listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in listed if a.arg != "self"}


def _documented(node):
    """Names and types of the section on parameters, or None where there is none."""
    sections = dict(SECTION.findall(ast.get_docstring(node) or ""))
    if "Parameters" not in sections:
        return None
    return {
        name.strip("* "): kind for names, kind in ENTRY.findall(sections["Parameters"]) for name in names.split(",")
    }


def _functions():
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield module, node, _parameters(node)


def _find_rooms_of_callers():
    """Rooms that import each public name of a module, or reach it through the module."""
    rooms = collections.defaultdict(set)
    for module, tree in TREES.items():
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in MODULES:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    rooms[full].add(_find_room(module))
                    if full in MODULES:
                        modules[alias.asname or alias.name] = full
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                rooms[f"{modules[node.value.id]}.{node.attr}"].add(_find_room(module))
    return rooms


def _is_array(annotation):
    return bool(ARRAY.search(annotation)) and not CONTAINER.search(annotation)


def test_arrays_have_shapes():
    wrong = []
    for module, node, parameters in _functions():
        arrays = [name for name, annotation in parameters.items() if _is_array(annotation)]
        if not arrays or any(FAMILIES.search(annotation) for annotation in parameters.values()):
            continue
        told = _documented(node) or {}
        wrong += [f"{module}.{node.name}: {name}" for name in arrays if "(" not in told.get(name, "")]
    assert wrong == []


def test_what_another_room_calls_tells_its_parameters():
    rooms = _find_rooms_of_callers()
    silent = [
        f"{module}.{node.name}"
        for module, node, parameters in _functions()
        if len(parameters.keys() - WORK) >= 2
        and rooms[f"{module}.{node.name}"] - {_find_room(module)}
        and _documented(node) is None
    ]
    assert silent == []


@pytest.mark.parametrize("kind", ["functions", "classes"])
def test_documented_parameters_are_those_of_the_signature(kind):
    if kind == "functions":
        found = [(f"{module}.{node.name}", node, parameters) for module, node, parameters in _functions()]
    else:
        found = [
            (f"{module}.{node.name}", node, _parameters(method))
            for module, tree in TREES.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        ]
    wrong = {}
    for name, node, parameters in found:
        told = _documented(node)
        if told is None:
            continue
        if missing := [p for p in parameters if p not in told and p not in WORK]:
            wrong[name] = f"not told: {missing}"
        elif unknown := told.keys() - parameters.keys() - {"options", "settings", "args", "kwargs"}:
            wrong[name] = f"not there: {sorted(unknown)}"
    assert wrong == {}
