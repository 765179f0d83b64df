"""The public surface: every name is there, documented, light to import, and pickles."""

import ast
import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import pnp

HEAVY = ("kymatio", "scipy", "matplotlib", "h5py", "joblib", "sklearn", "numba")
OBJECTS = [name for name in pnp.__all__ if not name.startswith("__")]
CALLABLES = [name for name in OBJECTS if callable(getattr(pnp, name))]


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_is_documented(name: str) -> None:
    assert (inspect.getdoc(getattr(pnp, name)) or "").strip()


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_class_and_function_pickles_by_name(name: str) -> None:
    value = getattr(pnp, name)
    assert pickle.loads(pickle.dumps(value)) is value


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_function_and_method_documents_its_arguments(name: str) -> None:
    value = getattr(pnp, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    documented = inspect.getdoc(value) or ""
    signature = inspect.signature(value)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        assert f"{parameter.name}:" in documented or f"{parameter.name} " in documented, parameter.name


def test_names_are_listed_sorted_and_once() -> None:
    assert pnp.__all__ == sorted(set(pnp.__all__))
    assert set(pnp.__all__) <= set(dir(pnp))


def test_type_checkers_see_the_names_that_exist_at_run_time() -> None:
    tree = ast.parse(Path(pnp.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert set(seen) == set(pnp.__all__) - {"__version__"}
    for name, module in seen.items():
        if module != "pnp":
            assert getattr(importlib.import_module(module), name) is getattr(pnp, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pnp' has no attribute 'nothing'"):
        _ = pnp.nothing


def test_the_function_precompute_is_not_shadowed_by_its_module() -> None:
    module = importlib.import_module("pnp.precompute")
    assert inspect.ismodule(module)
    assert pnp.precompute is module.precompute


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "use",
    [
        "pass",
        "pnp.PNPLoss",
        "import torch; u = torch.zeros(2, 3); pnp.PNPLoss()(u, u, metric=torch.eye(3).expand(2, 3, 3))",
        "pnp.ParameterSpace([pnp.Parameter('f', 1, 2)]).sample(4, method='uniform')",
        "from pnp.cli import build_parser; build_parser()",
    ],
)
def test_the_online_stage_loads_nothing_heavy(use: str) -> None:
    code = f"import sys, pnp\n{use}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    assert run_python(code).split() == []


def test_help_needs_no_torch() -> None:
    code = "import sys; from pnp.cli import build_parser; build_parser(); print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"
