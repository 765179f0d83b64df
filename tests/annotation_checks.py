"""Checks of the package's annotations at run time.

jaxtyping's own hook wraps every function as if shapes were named in it, which doubles the time of tests that call many
small functions. Here functions whose annotations hold shapes are wrapped so, and the others by beartype alone.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, config, jaxtyped

_CONF = BeartypeConf(is_pep484_tower=True, violation_type=TypeError)  # int serves as float
_NAME = "__annotations_checked__"
_UNKNOWN = object()


def install(package: str) -> None:
    """Check the annotations of a package that is still to be imported."""
    if package in sys.modules:
        raise RuntimeError(f"{package} is imported already: its annotations would not be checked")
    sys.meta_path.insert(0, _Finder(package))


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compile the source anew: what is cached beside it belongs to users."""
        path = self.get_filename(fullname)
        tree = _Decorating().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_NAME] = checked
        super().exec_module(module)


class _Decorating(ast.NodeTransformer):
    """Decorate functions below all other decorators, and classes above: a dataclass has its `__init__` by then."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.decorator_list.append(self._decorator(node))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.decorator_list.insert(0, self._decorator(node))
        return node

    def _decorator(self, node: ast.AST) -> ast.Name:
        return ast.copy_location(ast.Name(_NAME, ast.Load()), node)


def checked(function: Any) -> Any:
    """Return a function that checks its annotations, or a dataclass whose `__init__` does."""
    if inspect.isclass(function):
        if "__dataclass_fields__" in vars(function) and "__init__" in vars(function):
            function.__init__ = checked(function.__init__)
        return function
    if not function.__annotations__:
        return function
    function.__annotations__ = _resolved(function)
    if any(map(_has_shape, function.__annotations__.values())):
        return jaxtyped(function, typechecker=_beartype)
    strict = _beartype(function)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return (function if config.jaxtyping_disable else strict)(*args, **kwargs)

    return wrapper


def _beartype(function: Callable[..., Any]) -> Callable[..., Any]:
    return beartype(function, conf=_CONF)


def _resolved(function: Any) -> dict[str, Any]:
    """Annotations as objects, without those that name what only type checkers import or what is defined later."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  (whatever an annotation does)
        found = {name: _one_resolved(function, hint) for name, hint in function.__annotations__.items()}
        return {name: hint for name, hint in found.items() if hint is not _UNKNOWN}


def _one_resolved(function: Any, hint: Any) -> Any:
    def alone() -> None: ...

    alone.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(alone, function.__globals__, include_extras=True)["hint"]
    except Exception:  # noqa: BLE001
        return _UNKNOWN


def _has_shape(hint: Any) -> bool:
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_has_shape, get_args(hint)))
