"""The public surface: every name is there, documented, light to import, and pickles."""

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


def test_no_public_name_is_that_of_a_module() -> None:
    # Importing a submodule binds it in the package, where it would take the place of the name.
    root = Path(pnp.__file__).parent
    modules = {path.stem for path in root.glob("*.py")} | {
        path.name for path in root.iterdir() if path.is_dir()
    }
    assert {name for name in OBJECTS if name in modules} == {"diagnostics", "plots", "synths"}


def test_documented_paths_of_the_first_version_lead_to_the_modules() -> None:
    code = """
import importlib, warnings
from pnp._moved import MOVED
for old, new in MOVED.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = importlib.import_module(old)
    now = importlib.import_module(new)
    told = any(issubclass(w.category, DeprecationWarning) and f"{old} is now {new}" in str(w.message) for w in caught)
    names = [name for name in vars(now) if not name.startswith("__")]
    if not (told and names and all(getattr(before, name) is getattr(now, name) for name in names)):
        print(old)
"""
    assert not run_python(code)


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_online_stage_loads_nothing_heavy() -> None:
    """One use after the other in one process: none may load what it does not need."""
    uses = (
        "pass",
        "pnp.PNPLoss; assert 'pnp.losses' in sys.modules",
        "import torch; u = torch.zeros(2, 3); pnp.PNPLoss()(u, u, metric=torch.eye(3).expand(2, 3, 3))",
        "pnp.ParameterSpace([pnp.Parameter('f', 1, 2)]).sample(4, method='uniform')",
        "from pnp.cli.main import build_parser; build_parser()",
    )
    report = f"print(*(m for m in {HEAVY!r} if m in sys.modules), sep='|')"
    lines = run_python("\n".join(("import sys, pnp", *(f"{use}\n{report}" for use in uses)))).split("\n")
    assert dict(zip(uses, lines, strict=False)) == dict.fromkeys(uses, "")


def test_help_needs_no_torch() -> None:
    code = "import sys; from pnp.cli.main import build_parser; build_parser(); print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"
