"""Dependencies point downwards. Imports are read from the source, so that none hides in a branch."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pnp

ROOT = Path(pnp.__file__).parent
ONLINE = (
    "pnp.losses",
    "pnp.training.damping",
    "pnp.metric.riemannian",
    "pnp.training.dataset",
    "pnp.parameters",
)
ONLY_IMPORTER = {
    "kymatio": ("pnp.features.scattering.filterbank",),
    "h5py": ("pnp.store",),
    "joblib": ("pnp.offline",),
    "matplotlib": ("pnp.plots", "pnp.landscapes.plots"),
}


def name_of(path: Path) -> str:
    parts = ("pnp", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(tree: ast.Module, path: Path) -> ast.Module:
    """The same source with relative imports made absolute."""
    package = ("pnp", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            node.module, node.level = ".".join([*base, *filter(None, [node.module])]), 0
    return tree


MODULES = {name_of(path): absolute(ast.parse(path.read_text()), path) for path in sorted(ROOT.rglob("*.py"))}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node: ast.AST, top_level: bool) -> Iterator[str]:
    """Modules that are imported below a node: when the module is loaded, or ever but for type checking."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.module is not None
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                yield submodule if submodule in MODULES else child.module
        elif not (top_level and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))):
            yield from imports(child, top_level)


def reachable(module: str) -> set[str]:
    """Everything that is loaded with a module, parent packages included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting += [
                *imports(MODULES[name], top_level=True),
                *(name.rpartition(".")[:1] if "." in name else ()),
            ]
    return seen


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_a_heavy_library_is_imported_in_one_place(library: str) -> None:
    places = {name for name, tree in MODULES.items() if any(within(m, library) for m in imports(tree, False))}
    assert places
    allowed = ONLY_IMPORTER[library]
    assert all(any(within(name, place) for place in allowed) for name in places), places


def test_kymatio_is_never_imported_with_its_frontends() -> None:
    # kymatio.torch 0.3 does not import beside a current SciPy.
    found = {m for tree in MODULES.values() for m in imports(tree, False) if within(m, "kymatio")}
    assert all(within(m, "kymatio.scattering1d") for m in found), found


def test_scipy_is_imported_only_where_it_is_used() -> None:
    for name, tree in MODULES.items():
        if not within(name, "pnp.features.scattering"):
            assert not any(within(m, "scipy") for m in imports(tree, top_level=True)), name


@pytest.mark.parametrize("module", ONLINE)
def test_the_online_stage_reaches_no_synthesizer_and_no_scattering(module: str) -> None:
    loaded = reachable(module)
    for forbidden in (
        "kymatio",
        "scipy",
        "matplotlib",
        "joblib",
        "sklearn",
        "numba",
        "pnp.synths",
        "pnp.features.scattering",
    ):
        assert not any(within(m, forbidden) for m in loaded), forbidden


@pytest.mark.parametrize(
    ("package", "other"),
    [
        ("pnp.synths", "pnp.features.scattering"),
        ("pnp.features.scattering", "pnp.synths"),
        ("pnp.jacobian", "pnp.synths"),
        ("pnp.jacobian", "pnp.features.scattering"),
        ("pnp.features.compression", "pnp.synths"),
    ],
)
def test_parts_that_know_nothing_of_each_other(package: str, other: str) -> None:
    for name, tree in MODULES.items():
        if within(name, package):
            assert not any(within(m, other) for m in imports(tree, top_level=False)), name


def layers() -> dict[str, int]:
    """Layer of each room, from the table in CONTRIBUTING.md; 1 is the top."""
    page = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for layer, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE):
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", rooms), int(layer)))
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_layer_and_every_layer_its_rooms() -> None:
    assert set(layers()) == {room(name) for name in MODULES} - {""}


def test_no_import_runs_upwards_in_the_table_of_layers() -> None:
    layer = layers()
    upwards = [
        f"{name} -> {imported}"
        for name, tree in MODULES.items()
        for imported in imports(tree, top_level=False)
        if within(imported, "pnp")
        and room(name)
        and room(imported)
        and layer[room(imported)] < layer[room(name)]
    ]
    assert not upwards, upwards


def circles(uses: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left when everything that uses nothing has been taken away again and again."""
    while leaves := {name for name, targets in uses.items() if not targets}:
        uses = {name: targets - leaves for name, targets in uses.items() if name not in leaves}
    return uses


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    uses: dict[str, set[str]] = {room(name): set() for name in MODULES if room(name)}
    for name, tree in MODULES.items():
        if room(name):
            targets = {room(m) for m in imports(tree, top_level=False) if within(m, "pnp")}
            uses[room(name)] |= targets - {"", room(name)}
    assert not circles(uses), circles(uses)


def test_no_file_is_too_long_to_read_at_once() -> None:
    too_long = {name: length for name in MODULES if (length := lines_of(name)) > 450}
    assert not too_long, too_long


def test_few_modules_lie_directly_in_the_package() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 12


def lines_of(module: str) -> int:
    path = ROOT.joinpath(*module.split(".")[1:])
    return len((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text().splitlines())


def test_no_module_imports_itself_in_a_circle() -> None:
    # Imports inside functions count: a circle that is closed late is a circle.
    uses = {
        name: (set(imports(tree, top_level=False)) & set(MODULES)) - {name} for name, tree in MODULES.items()
    }
    assert not circles(uses), circles(uses)


def test_no_script_of_the_benchmarks_imports_itself_in_a_circle() -> None:
    scripts = {path.stem: ast.parse(path.read_text()) for path in (ROOT.parent / "benchmarks").glob("*.py")}
    uses = {name: set(imports(tree, top_level=False)) & set(scripts) for name, tree in scripts.items()}
    assert not circles(uses), circles(uses)


def test_nothing_that_a_module_loads_loads_it_in_turn() -> None:
    for name, tree in MODULES.items():
        # A package's __init__ gathers its own modules, which load it first.
        outside = {m for m in imports(tree, top_level=True) if not within(m, name)}
        for imported in outside & set(MODULES):
            assert name not in reachable(imported) or within(imported, name.rpartition(".")[0]), (
                name,
                imported,
            )
