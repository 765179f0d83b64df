"""Sentences of the documentation are short, and its terms are those of the glossary."""

import re

import pytest
from pages import PAGES, ROOT

LONGEST = 25
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|al|cf|vs|Fig|No)\.")


def sentences(text: str) -> list[str]:
    """Sentences of the prose of a page: no code, tables, headings, formulas or comments."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$", "X.", text, flags=re.DOTALL)
    text = re.sub(r"^(#.*|\|.*|!\[.*)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^ *(?:[-*]|\d+\.) +", "\n\n", text, flags=re.MULTILINE)  # items are paragraphs
    text = re.sub(r"`[^`]+`|\$[^$]+\$", "X", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = _ABBREVIATION.sub(r"\1", text)
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        found += re.split(r"(?<=[.!?])[*_)\"”]*\s+(?=[A-ZΦΘ*_(\"“0-9])", " ".join(paragraph.split()))
    return [sentence for sentence in found if sentence]


def words(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


# Phrases that read as if translated.
FOREIGN = re.compile(
    r"\b(so many|stands? for|holds? for|begins? anew|is had|what came of|truly|lies? apart|soon over|goes on)\b",
    re.I,
)


@pytest.mark.parametrize("page", PAGES)
def test_phrases_are_plain(page: str) -> None:
    found = [s for s in sentences((ROOT / page).read_text("utf-8")) if FOREIGN.search(s)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page: str) -> None:
    long = [s for s in sentences((ROOT / page).read_text("utf-8")) if words(s) > LONGEST]
    assert not long, "\n".join(f"{words(s)} words: {s}" for s in long)
