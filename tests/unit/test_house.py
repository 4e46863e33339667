"""What the package promises before anything is computed: light imports, one version, honest errors."""

import ast
import collections
import graphlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from source_trees import MODULES, list_nodes, parse_modules

import napari_sfh

ROOT = Path(__file__).parents[2]


def test_import_loads_neither_torch_nor_qt():
    code = "import sys, napari_sfh; print(*[m for m in ('torch', 'qtpy', 'napari', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_every_public_name_loads():
    for name in napari_sfh.__all__:
        assert getattr(napari_sfh, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_sfh.nothing  # noqa: B018


def test_the_version_stands_in_one_place():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "napari_sfh.__version__"}
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|rc)\d+)?", napari_sfh.__version__)


def test_the_manifest_that_ships_is_that_of_the_repository():
    """A copy, not a link: a clone on Windows may not know links."""
    assert (ROOT / "src" / "napari_sfh" / "napari.yaml").read_bytes() == (ROOT / "napari.yaml").read_bytes()


def test_the_conda_recipe_asks_for_what_the_package_requires():
    """Names and lower bounds of pyproject, but for the three packages whose licence forbids to redistribute them."""
    text = (ROOT / ".ci" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load("\n".join(line for line in text.splitlines() if not line.startswith("{%")))
    asked = {need.split()[0]: need.partition(" ")[2] for need in recipe["requirements"]["run"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    required = {"python": project["requires-python"]}
    for line in project["dependencies"]:
        need = Requirement(line)
        required[names.get(need.name, need.name)] = str(need.specifier)
    for name in ("vorbin", "powerbin"):
        assert name not in asked
        del required[name]
    assert asked.pop("distributed") == required["dask"]
    assert asked == required


def test_every_subpackage_is_packaged():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    source = ROOT / "src"
    found = {".".join(p.parent.relative_to(source).parts) for p in source.rglob("__init__.py")}
    found |= {
        ".".join(("napari_sfh", *p.parent.relative_to(ROOT).parts)) for p in (ROOT / "training").rglob("__init__.py")
    }
    assert listed == found


# --- Names, sizes and imports -------------------------------------------------------------------------------------

#: Names that two modules may define: the entry points of the two commands.
SHARED_NAMES = {"main"}
TYPE_VARIABLES = {"T"}
#: First words of public functions.
_VERBS = """
add align amplify apply attenuate augment average bin bisect blend broaden build calibrate check choose classify
clean collect combine compare compute configure connect convert convolve copy correlate corrupt count cut decode
degrade deproject derive describe detect draw dress drop encode ensure escape estimate evaluate examine explain
export extend extract fetch fill find fit fix flag flatten format get group guess hash hide histogram identify
import initialise interpolate invert iterate join keep label limit list load locate make mark mask match measure
merge move name normalise observe open pack paint parse permute place plot predict prefetch prepare preview
print propose raise rank read rebin recolor reconstruct refine reject release remove render renumber replace
report require resample resolve restore restrict round run sample save scale select serve set shift shorten show
simulate split start stop store stream strip style subtract sum summarise synthesise tell tessellate trace train
transform unpack update validate verify warm weigh word write recalibrate reweight smooth
"""
VERBS = set(_VERBS.split())
#: Questions.
QUESTIONS = {"is", "has", "holds", "needs", "allows"}
#: Conversions, and functions that are named for the quantity, curve or place that they return.
NAMED_FOR_VALUE = re.compile(
    r"^to_|_(from|to|per)_|_(history|enrichment|distribution|curve|transmission|extinction|kms|aa|cgs|arcsec|path|folder|format"
    r"|matrix|weights|loss|error|mean|quantile|gain|chi2|index|share|shape|factor|profiles|noise|sigma|beta|fwhm|point"
    r"|box|limits|fraction|coverage|offset|calibration|density|rate|luminosity|metallicity|settings|ratio|mag|cosh)$"
)


def _public(kinds):
    for module, tree in parse_modules().items():
        for node in tree.body:
            if isinstance(node, kinds) and not node.name.startswith("_"):
                yield module, node


def test_a_public_name_means_one_thing():
    places = collections.defaultdict(list)
    for module, node in _public((ast.FunctionDef, ast.ClassDef)):
        places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in SHARED_NAMES} == {}


def _constants(tree):
    """Public constants that a module defines."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (
                n.id for n in names if isinstance(n, ast.Name) and n.id[0] != "_" and n.id not in TYPE_VARIABLES
            )


def test_a_public_constant_is_defined_once():
    places = collections.defaultdict(set)
    for module, tree in parse_modules().items():
        for name in _constants(tree):
            places[name].add(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_public_functions_say_what_they_do():
    strange = [
        f"{module}.{node.name}"
        for module, node in _public(ast.FunctionDef)
        if node.name not in SHARED_NAMES
        and node.name.split("_")[0] not in VERBS | QUESTIONS
        and not NAMED_FOR_VALUE.search(node.name)
    ]
    assert strange == []


def test_folders_show_at_most_15_modules():
    count = collections.Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {str(folder): n for folder, n in count.items() if n > 15} == {}


def _code_lines(node):
    """Lines of a function without its docstring."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.end_lineno - node.lineno + 1 - (first.end_lineno - first.lineno + 1 if is_docstring else 0)


def test_functions_fit_on_a_screen():
    functions = (
        (module, node)
        for module, tree in parse_modules().items()
        for node in list_nodes(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert [f"{module}.{node.name}" for module, node in functions if _code_lines(node) > 50] == []


def _imports(tree):
    """Modules of the package that a module names, inside functions and under TYPE_CHECKING too."""
    for node in list_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def test_imports_run_one_way():
    sorter = graphlib.TopologicalSorter({name: set(_imports(tree)) - {name} for name, tree in parse_modules().items()})
    sorter.prepare()  # raises CycleError, which names the circle


#: Where a text is written plainly: a file in a temporary folder, a probe whether a folder can be written, a file that
#: grows line by line, and a page whose pictures are not written whole either.
PLAIN_WRITES = {
    "napari_sfh.training.libraries.fetch",
    "napari_sfh.training.evaluation.report",
    "napari_sfh.training.evaluation.set_figures",
}


def test_texts_are_written_whole_or_not_at_all():
    """By `io.atomic`: what took hours must not be lost by a full disk."""
    plain = {
        module
        for module, tree in parse_modules().items()
        for node in list_nodes(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("write_text", "write_bytes")
        and ast.unparse(node.func.value) != "part"
    }
    assert plain == PLAIN_WRITES


#: Where words with two dashes are no option of ours: the front ends themselves, and what speaks to other programs.
FRONT_ENDS = ("napari_sfh.cli", "napari_sfh.commands", "napari_sfh.training.cli", "napari_sfh.training.commands")
CALLERS_OF_PROGRAMS = {"napari_sfh.training.libraries.fetch", "napari_sfh.training.fitting.provenance"}
#: The one place that knows how options are spelt, for the notes of older results.
SPELLING = "napari_sfh.config"


def test_messages_name_settings_and_front_ends_their_options():
    """`config.name_settings` puts in what the user of a front end knows a setting by."""
    named = []
    for module, tree in parse_modules().items():
        if module.startswith(FRONT_ENDS) or module in {SPELLING} | CALLERS_OF_PROGRAMS:
            continue
        documents = {id(node.value) for node in list_nodes(tree) if isinstance(node, ast.Expr)}
        named += [
            f"{module}:{node.lineno}: {node.value}"
            for node in list_nodes(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
            if re.search(r"--[a-z]", node.value) and "pip install" not in node.value
        ]
    assert named == []


# --- The page for newcomers ---------------------------------------------------------------------------------------


ARCHITECTURE = (ROOT / "docs" / "developers" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_on_architecture_names_every_room_of_the_package():
    rooms = {path.parent.name for path in (ROOT / "src" / "napari_sfh").rglob("__init__.py")} - {"napari_sfh"}
    assert {room for room in rooms if not re.search(rf"[`/]{room}/", ARCHITECTURE)} == set()


def test_the_page_on_architecture_names_files_that_exist():
    known = [path.as_posix() for path in MODULES.values()]
    named = re.findall(r"`([a-z_/0-9]+\.py)`", ARCHITECTURE)
    assert named
    lost = [file for file in named if not (ROOT / file).exists()]
    assert [file for file in lost if not any(path.endswith(f"/{file}") for path in known)] == []


# --- Docstrings ---------------------------------------------------------------------------------------------------

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


def _list_functions():
    for module, tree in parse_modules().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield module, node, _parameters(node)


def _is_array(annotation):
    return bool(ARRAY.search(annotation)) and not CONTAINER.search(annotation)


def test_arrays_have_shapes():
    wrong = []
    for module, node, parameters in _list_functions():
        arrays = [name for name, annotation in parameters.items() if _is_array(annotation)]
        if not arrays or any(FAMILIES.search(annotation) for annotation in parameters.values()):
            continue
        told = _documented(node) or {}
        wrong += [f"{module}.{node.name}: {name}" for name in arrays if "(" not in told.get(name, "")]
    assert wrong == []


def test_functions_of_two_arguments_tell_their_parameters():
    silent = [
        f"{module}.{node.name}"
        for module, node, parameters in _list_functions()
        if len(parameters.keys() - WORK) >= 2
        and not any(FAMILIES.search(annotation) for annotation in parameters.values())
        and _documented(node) is None
    ]
    assert silent == []


def test_public_functions_use_their_arguments():
    """But for what a family of functions shares."""
    idle = []
    for module, node, parameters in _list_functions():
        if not any(FAMILIES.search(annotation) for annotation in parameters.values()):
            used = {n.id for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
            idle += [f"{module}.{node.name}: {name}" for name in parameters.keys() - used - WORK]
    assert idle == []


@pytest.mark.parametrize("kind", ["functions", "classes"])
def test_documented_parameters_are_those_of_the_signature(kind):
    if kind == "functions":
        found = [(f"{module}.{node.name}", node, parameters) for module, node, parameters in _list_functions()]
    else:
        found = [
            (f"{module}.{node.name}", node, _parameters(method))
            for module, tree in parse_modules().items()
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


#: Names of classes in documented types.
CLASS_NAME = re.compile(r"\b[A-Z][A-Za-z]*[a-z][A-Za-z]*\b")


def _list_class_names():
    for tree in parse_modules().values():
        yield from (node.name for node in list_nodes(tree) if isinstance(node, ast.ClassDef))
        yield from (
            t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if hasattr(t, "id")
        )


def test_documented_types_are_those_of_the_signature():
    """A class that was renamed is renamed in the docstrings, too."""
    classes = set(_list_class_names())
    wrong = []
    for module, node, parameters in _list_functions():
        for name, kind in (_documented(node) or {}).items():
            annotation = parameters.get(name, "Any")
            if "Any" not in annotation:
                known = classes | set(re.findall(r"\w+", annotation))
                wrong += [
                    f"{module}.{node.name}: {name} : {word}" for word in CLASS_NAME.findall(kind) if word not in known
                ]
    assert wrong == []


# --- Tests --------------------------------------------------------------------------------------------------------

#: Private names that tests use, and why there is no public road; a name of this package is made public instead.
_NAPARI = "napari has no public road to its Qt window and canvas"
PRIVATE_READS = {
    ("window_acts.py", "_qt_window"): _NAPARI,
    ("window_acts.py", "_qt_viewer"): _NAPARI,
    ("window_acts.py", "_scene_canvas"): _NAPARI,
    ("test_side_tabs.py", "napari._app_model"): "napari's commands are reached by its own registry alone",
    ("test_scripts.py", "napari._app_model"): "napari's commands are reached by its own registry alone",
    ("test_emptied_titles.py", "_sizeHint"): "what the garbage collector takes from a title of pyqtgraph",
    (
        "test_units.py",
        "_get_ticks_talbot",
    ): "the ticks that a colorbar of napari draws: vispy tells them to nobody else",
    ("test_commands_in_docs.py", "_actions"): "argparse has no public list of a parser's options",
    ("test_commands_in_docs.py", "_SubParsersAction"): "argparse has no public list of a parser's options",
    ("test_cuda.py", "_compute_side_by_side"): "a device's way of batches, tested on machines without a device",
    ("test_cuda.py", "_compute_on_device"): "a device's way of batches, tested on machines without a device",
}
#: Names with an underscore that are public.
PUBLIC_UNDERSCORES = {"_replace", "_asdict", "_fields", "_exit"}


def _is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC_UNDERSCORES


def _private_reads(tree):
    """Private names that a module takes from other modules and objects: read, imported or patched."""
    for node in list_nodes(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
            if not (node.module or "").startswith("napari_sfh") and any(map(_is_private, node.module.split("."))):
                yield f"_{node.module}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            yield from (
                a.value.split(".")[-1]
                for a in node.args[:2]
                if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def test_tests_read_what_is_public():
    found = {
        (path.name, name.removeprefix("_") if "." in name else name)
        for path in (ROOT / "tests").rglob("*.py")
        for name in _private_reads(ast.parse(path.read_text(encoding="utf-8")))
        if _is_private(name)
    }
    assert found == PRIVATE_READS.keys()
