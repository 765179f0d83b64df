"""Every Python block of the README and the guides runs, on smaller sounds and fewer of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What makes an example small enough for a test, written as in the examples.
SMALLER = {
    'make("chirp")': 'make("chirp", n_samples=4096)',
    "size=4096": "size=24, block=4",
    "jobs=2": "jobs=1, progress=False",
    "batch_size=32": "batch_size=8",
    "size=64": "size=24, block=4",
}
PAGES = {
    "README.md": ('make("chirp")', "size=4096", "jobs=2", "batch_size=32"),
    "docs/how-to/compute.md": ('make("chirp")', "size=4096", "jobs=2"),
    "docs/how-to/losses.md": ('make("chirp")', "batch_size=32"),
    "docs/how-to/inspect.md": (),
    "docs/tutorials/first-cache.md": ("size=64",),
    "docs/tutorials/training.md": ("size=64",),
    "docs/tutorials/choices.md": ("size=64",),
}


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache that the pages about caches assume."""
    import pnp
    from pnp.features.standard import standard_features

    path = tmp_path_factory.mktemp("documentation") / "chirp.h5"
    synth = pnp.synths.make("chirp", n_samples=4096)
    pnp.precompute(synth, standard_features(synth), path, size=24, block=4, progress=False)
    return path


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, small_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cache").mkdir()
    if not any(text.startswith("size=") for text in PAGES[page]):
        Path("cache/chirp.h5").symlink_to(small_cache)
    source = "\n".join(python_blocks(page))
    assert source
    for text in PAGES[page]:
        assert text in source, f"{page} no longer contains {text}; this test would run it at full size"
        source = source.replace(text, SMALLER[text])
    exec(compile(source, page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text().replace("\n", " "))
    local = [link for link in links if not link.startswith("http")]
    for link in local:
        assert ((ROOT / page).parent / link).exists(), link


def test_the_readme_lists_the_two_commands_that_continuous_integration_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(re.findall(r"^pip install \. && pnp demo$", readme, re.MULTILINE)) == 1
    assert len(re.findall(r'^pip install -e "\.\[test\]" && pytest$', readme, re.MULTILINE)) == 1


def test_the_command_line_page_lists_the_verbs_that_exist() -> None:
    from pnp.cli.main import build_parser

    (verbs,) = (action for action in build_parser()._actions if action.dest == "verb")
    listed = re.findall(
        r"^\| `pnp (\w+)`", (ROOT / "docs/reference/command-line.md").read_text(), re.MULTILINE
    )
    assert set(listed) == set(verbs.choices)
