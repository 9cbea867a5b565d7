"""Parts of names to find them by, and what a search text could mean: pure, before anything is hashed.

A name gives its characters, pairs of neighbours, syllables in pinyin (all readings), pairs of syllables, and runs of
initials; names in letters give runs of three. A text becomes alternatives, each of them parts that a name must all
have. Parts say only that they are there, not where: who searches must look at what was found.
"""

import re
from functools import cache
from itertools import pairwise
from typing import Final

from pypinyin import Style, pinyin
from pypinyin.constants import PINYIN_DICT
from pypinyin.style import convert

INITIALS_MAX: Final = 6
ALTERNATIVES_MAX: Final = 12
_LETTERS: Final = re.compile(r"[a-z]+")


def _chinese(character: str) -> bool:
    return ord(character) in PINYIN_DICT


def readings(name: str) -> list[frozenset[str]]:
    """Give for each Chinese character of a name its syllables without tones."""
    characters = [character for character in name if _chinese(character)]
    found = pinyin(characters, style=Style.NORMAL, heteronym=True)
    return [frozenset(syllable.replace("ü", "v") for syllable in each) for each in found]


def parts_of(name: str) -> set[str]:
    """Give all parts of a name, each with its kind before it."""
    chinese = [character for character in name if _chinese(character)]
    found = {f"c{character}" for character in chinese} | {f"c{a}{b}" for a, b in pairwise(chinese)}
    syllables = readings(name)
    found |= {f"s{each}" for place in syllables for each in place}
    found |= {f"s{a} {b}" for first, second in pairwise(syllables) for a in first for b in second}
    firsts = ["".join(sorted({each[0] for each in place})) for place in syllables]
    for start in range(len(firsts)):
        runs = {""}
        for letters in firsts[start : start + INITIALS_MAX]:
            runs = {run + letter for run in runs for letter in letters}
            found |= {f"i{run}" for run in runs}
    for word in _LETTERS.findall(name.lower()):
        found |= _runs(word)
    return found


def alternatives(text: str) -> list[set[str]]:
    """Give what a text could mean: each a set of parts that a name must have. Empty for a text without letters."""
    chinese = [character for character in text if _chinese(character)]
    if chinese:
        pairs = {f"c{a}{b}" for a, b in pairwise(chinese)}
        return [pairs or {f"c{chinese[0]}"}]
    words = _LETTERS.findall(text.lower())
    if not words:
        return []
    joined = "".join(words)
    splits = _splits(joined)[:ALTERNATIVES_MAX]
    found = [{f"s{a} {b}" for a, b in pairwise(split)} or {f"s{split[0]}"} for split in splits]
    if len(joined) <= INITIALS_MAX:
        found.append({f"i{joined}"})
    found.append(set().union(*(_runs(word, query=True) for word in words)))
    return [each for each in found if each]


def fits(name: str, text: str) -> bool:
    """Whether a name really has a text in it: as characters, as pinyin, as initials, or as letters."""
    wanted = "".join(text.split()).lower()
    if wanted in "".join(name.split()).lower():
        return True
    letters = "".join(_LETTERS.findall(wanted))
    if not letters or letters != wanted:
        return False
    places = readings(name)
    return _reads(places, letters) or any(
        all(letter in {each[0] for each in place} for letter, place in zip(letters, places[start:], strict=False))
        for start in range(len(places) - len(letters) + 1)
    )


def _reads(places: list[frozenset[str]], letters: str) -> bool:
    """Whether the letters are whole syllables of neighbours, one after the other."""
    ends = {(start, 0) for start in range(len(places))}
    while ends:
        further = set()
        for place, done in ends:
            if done == len(letters):
                return True
            if place < len(places):
                further |= {(place + 1, done + len(each)) for each in places[place] if letters.startswith(each, done)}
        ends = further
    return False


def _runs(word: str, *, query: bool = False) -> set[str]:
    """Give runs of three letters; of a stored word, its one and two first letters, too."""
    runs = {f"l{word[start : start + 3]}" for start in range(len(word) - 2)}
    if not query:
        return runs | {f"l{word[:1]}", f"l{word[:2]}"}
    return runs or {f"l{word}"}


@cache
def _syllables() -> frozenset[str]:
    """All syllables of Mandarin that the dictionary knows, without tones."""
    found = set()
    for code in range(0x4E00, 0x9FA6):
        for each in PINYIN_DICT.get(code, "").split(","):
            plain = convert(each, Style.NORMAL, strict=False, default=each).replace("ü", "v")
            if plain.isascii() and plain.isalpha():
                found.add(plain)
    return frozenset(found)


def _splits(letters: str) -> list[list[str]]:
    """Give the ways to read letters as whole syllables, those of the fewest first."""
    known = _syllables()
    ways: list[list[list[str]]] = [[] for _ in range(len(letters) + 1)]
    ways[0].append([])
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - 6), end):
            if letters[start:end] in known:
                ways[end] += [[*way, letters[start:end]] for way in ways[start][:ALTERNATIVES_MAX]]
    return sorted(ways[-1], key=len)
