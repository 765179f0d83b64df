"""Every block of code of every page runs, in the order of its page, in an empty folder.

Python runs as it is, and lines that begin with `pnp` run as the command line does. A block with a title is a file, and
is written. A comment `<!-- not run: REASON -->` before a block says why no test runs it.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import PAGES, ROOT, Block, blocks

import pnp
from pnp.cli.main import main
from pnp.synths import registry

RUN = ("python", "sh")
# Output, and files in other languages.
SHOWN = ("text", "toml", "xml", "csv", "bibtex")
# Smaller sounds, and fewer of them, than a reader would take.
SMALLER = {
    r'make\("(chirp|drum)"\)': r'make("\1", n_samples=4096)',
    r"\bsize=[\d_]+": "size=24, block=4",
    r"\bjobs=\d+": "jobs=1, progress=False",
    r"\bepochs=\d+": "epochs=1",
    r"--synth (chirp|drum)": r"--synth \1 --synth-option n_samples=4096",
    r"--size \d+": "--size 24 --block 4",
    r"--jobs \d+": "--jobs 1",
    r"--recompute \d+": "--recompute 1",
    r"\bpnp train .*": r"\g<0> --epochs 1",
}
# What a block may import that need not be installed.
OPTIONAL = ("lightning",)


def has_code(page: str) -> bool:
    return any(block.language in RUN and block.reason is None for block in blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_code_that_runs_or_says_what_it_is(page: str) -> None:
    for block in blocks(page):
        place = f"{page}:{block.line}"
        assert block.language in RUN + SHOWN, f"{place}: a block in {block.language or 'no language'!r}"
        if block.reason is not None:
            assert block.language in RUN, f"{place}: only code runs, so nothing needs a reason"
            assert len(block.reason.split()) >= 3, f"{place}: {block.reason!r} is no reason"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if has_code(page)])
def test_examples_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    namespace = {"__name__": "__main__"}
    for block in blocks(page):
        if block.title is not None:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "python" and block.reason is None and can_run(block):
            # Compiled with the page's line numbers, so that a failure points into it.
            exec(compile("\n" * block.line + smaller(block.code), str(ROOT / page), "exec"), namespace)
        elif block.language == "sh" and block.reason is None:
            for command in commands(block):
                assert main(command) == 0, f"{page}:{block.line}: pnp {shlex.join(command)}"


def can_run(block: Block) -> bool:
    """Whether what a block imports is installed."""
    return all(find_spec(name) for name in OPTIONAL if f"import {name}" in block.code)


def smaller(code: str) -> str:
    for pattern, replacement in SMALLER.items():
        code = re.sub(pattern, replacement, code)
    return code


def commands(block: Block) -> Iterator[list[str]]:
    """Arguments of `pnp` in each line of a block; a line's patterns see the files of the lines before."""
    for line in smaller(block.code.replace("\\\n", "")).splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "pnp", f"{block.page}:{block.line}: only pnp runs here, and not {line!r}"
            yield [match for word in words[1:] for match in sorted(map(str, Path().glob(word))) or [word]]


@pytest.fixture
def folder(page: str, tmp_path: Path, made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with those files that a page takes for granted."""
    monkeypatch.chdir(tmp_path)
    code = "".join(block.code for block in blocks(page))
    for name in FILES:
        if name in code and not makes(code, name):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).symlink_to(made(name))
    return tmp_path


def makes(code: str, name: str) -> bool:
    """Whether a page makes a cache itself."""
    return re.search(rf"precompute[^\n]*{re.escape(Path(name).stem)}\b", code) is not None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files by name, each made once."""
    there = tmp_path_factory.mktemp("files")

    def get(name: str) -> Path:
        path = there / Path(name).name
        if not path.exists():
            FILES[name](path)
        return path

    return get


def chirps(path: Path) -> None:
    synth = pnp.synths.make("chirp", n_samples=4096)
    pnp.precompute(synth, pnp.standard_features(synth), path, size=24, block=4, progress=False)


def snare(path: Path) -> None:
    """Recording of a drum that no cache holds."""
    synth = pnp.synths.make("drum", n_samples=4096)
    x = synth(synth.space.from_unit(0.5 * synth.space.sample(1, seed=5)))[0]
    noise = np.random.default_rng(0).standard_normal(len(x))
    soundfile.write(path, 0.5 * x.numpy() / x.abs().max().item() + 0.001 * noise, int(synth.sample_rate))


def drums(path: Path) -> None:
    synth = pnp.synths.make("drum", n_samples=4096)
    pnp.precompute(synth, pnp.standard_features(synth), path, size=24, block=4, progress=False)


FILES: dict[str, Callable[[Path], None]] = {
    "cache/chirp.h5": chirps,
    "cache/drum.h5": drums,
    "snare.wav": snare,
    "recording.wav": snare,
    "kit/snare.wav": snare,
}
