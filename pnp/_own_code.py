"""Objects of a user's own code, named on the command line: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pnp._text import did_you_mean
from pnp.errors import OwnCodeError

__all__ = ["build", "is_own", "load_files", "loaded_files", "module_name", "stem_of"]

# Attribute of a module that was loaded from a file by its path: the name by which caches know it.
_KNOWN_AS = "__pnp_known_as__"

# Files that were loaded in this process: absolute path from module name.
_files: dict[str, str] = {}


def is_own(words: str) -> bool:
    """Tell if words name an object of a file or module, and not something that is registered."""
    return ":" in words or words.endswith(".py")


def stem_of(words: str) -> str:
    """Return the last part of the name of the file or module, for names of files.

    Examples:
        >>> stem_of("synths/voice.py:make"), stem_of("my_package.bells:Bell")
        ('voice', 'bells')
    """
    place = words.rpartition(":")[0] or words
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def module_name(module: str) -> str:
    """Return the name by which caches know a module: that of a file does not depend on the folder it is in."""
    return str(getattr(sys.modules.get(module), _KNOWN_AS, module))


def build(words: str, kind: str, options: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> Any:
    """Build an object of a user's own code.

    Args:
        words: `path/to/file.py:name` or `package.module:name`; the name is that of a function or class, which is
            called, or of an object that is there already.
        kind: Kind of object, for messages: "synthesizer", "features".
        options: Keyword arguments of the function or class.
        given: Arguments that it gets if it has parameters of these names.

    Returns:
        The object.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the words, the name or an option is wrong.
        OwnCodeError: If the code raises an error.
    """
    factory, path = _named(words, kind)
    if not (inspect.isclass(factory) or inspect.isroutine(factory) or isinstance(factory, functools.partial)):
        if options:
            raise ValueError(
                f"{kind} {words!r} is an object that is there already, and takes no option {next(iter(options))!r}"
            )
        return factory
    arguments = dict(options)
    try:
        parameters = dict(inspect.signature(factory).parameters)
    except ValueError:  # compiled, and does not say
        parameters = {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if parameters and option not in parameters and not takes_any:
            raise ValueError(
                f"unknown option {option!r} of {kind} {words!r}, expected one of "
                f"{', '.join(parameters) or 'none'}{did_you_mean(option, parameters)}"
            )
    arguments |= {name: value for name, value in (given or {}).items() if name in parameters}
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if needed and name not in arguments:
            raise ValueError(f"{kind} {words!r} needs a value for {name!r}; give {name}=VALUE as an option")
    return _run(lambda: factory(**arguments), words, path)


def loaded_files() -> dict[str, str]:
    """Return the files that were loaded in this process, absolute paths from module names, for workers."""
    return dict(_files)


def load_files(files: Mapping[str, str]) -> None:
    """Load files as another process did, so that what it pickled can be read.

    Args:
        files: Result of `loaded_files` there.
    """
    for name, path in files.items():
        if name not in sys.modules:
            _load_file(Path(path))


def _named(words: str, kind: str) -> tuple[Any, str]:
    """Return the object that words name, and the file of its module."""
    place, colon, name = words.rpartition(":")
    if not colon:
        place, name = words, ""
    if not place:
        raise ValueError(f"{kind} {words!r} lacks the file or module before the colon, path/to/file.py:NAME")
    is_file = place.endswith(".py") or os.sep in place
    module = _run(lambda: _file(place) if is_file else _module(place, kind, words), words, place)
    own = [n for n, value in vars(module).items() if _is_candidate(n, value, module.__name__)]
    if not name:
        raise ValueError(
            f"{kind} {words!r} lacks the name of what makes it: {place}:NAME, with NAME one of {', '.join(own)}"
        )
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(
                f"{place} has no {name!r}, but {', '.join(own) or 'nothing to call'}{did_you_mean(name, own)}"
            )
        found = getattr(found, part)
    return found, str(getattr(module, "__file__", place))


def _is_candidate(name: str, value: Any, module: str) -> bool:
    return not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module


def _file(place: str) -> ModuleType:
    path = Path(place).expanduser()
    if not path.is_file():
        folder = path.parent
        there = sorted(str(file) for file in folder.glob("*.py")) if folder.is_dir() else []
        raise FileNotFoundError(
            f"there is no file {place!r} (in {Path.cwd()}){did_you_mean(str(path), there)}"
        )
    return _load_file(path.resolve())


def _load_file(path: Path) -> ModuleType:
    """Load a file once in a process, under a name that no other file has."""
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    # As for a script: what lies beside it can be imported.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    vars(module)[_KNOWN_AS] = path.stem
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _files[name] = str(path)
    return module


def _module(place: str, kind: str, words: str) -> ModuleType:
    # As for `python -m`: the folder of the call comes first.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # A module that it imports may be the one that is missing.
        if error.name is None or not (place == error.name or place.startswith(f"{error.name}.")):
            raise
        raise ValueError(
            f"{kind} {words!r}: there is no module {error.name!r}, neither installed nor in {Path.cwd()}; a file is "
            "named with its ending, path/to/file.py:NAME"
        ) from None


def _run(action: Callable[[], Any], words: str, path: str) -> Any:
    """Run code that is not ours; what it raises is an error of its own."""
    try:
        return action()
    except Exception as error:
        if _is_ours(error):
            raise
        raise OwnCodeError(
            f"{words} raised {type(error).__name__}: {' '.join(str(error).split())}", path
        ) from error


def _is_ours(error: Exception) -> bool:
    """Tell if an error was raised in this file, and not by the code that it runs."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code.co_filename == __file__
