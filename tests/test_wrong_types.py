"""Arguments of another type in Python: one line, as users have it, without the hooks that tests have before it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = """
import numpy as np
import maskmixadv as mma

image = np.random.default_rng(0).random((3, 16, 16))
strokes = np.full(image.shape, 255, np.uint8)
strokes[0, 0, :4], strokes[0, 3, :4] = 0, 1
mask = np.zeros(image.shape, np.uint8)
case = mma.Case.from_arrays(image, name="a", scribble=strokes)
other = mma.Case.from_arrays(image, name="b", scribble=strokes)
two = ["bg", "x"]
corpus = mma.make_corpus("corpus", iter([case, other]), classes=np.array(two))
assert mma.make_phantoms("phantoms", cases=np.int64(5), size=64).split("paper", np.int64(1)).test

def refused(call):
    try:
        print("accepted:", call())
    except mma.InputError as error:
        print(error)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")

def made(cases=(case, other), classes=two, **how):
    refused(lambda: mma.make_corpus("new", cases, classes=classes, **how))

for classes in ("bg", {"bg"}, {"x": 1, "bg": 0}, ["bg", 1], None, 2):
    made(classes=classes)
for cases in (case, ["a"], "abc", None, [case, None]):
    made(cases)
for folds in ("own", mma.Split(("a",), ("b",), ()), [5], [("a", "b")], [(("a",), "b", ())], [(("a",), (2,), ())]):
    made(folds=folds)
made(validate="x")
made(channels=["T1"])
for how in (
    {"ignore": 300}, {"ignore": -1}, {"ignore": "255"}, {"ignore": None}, {"ignore": 4}, {"name": 5}, {"phase": 5},
    {"channels": "T1"}, {"channels": [mma.Channel(5)]}, {"channels": [mma.Channel("T1", percentile="x")]},
    {"channels": [mma.Channel("T1", percentile=500.0)]}, {"channels": [mma.Channel("CT", "CT", window=5)]},
):
    refused(lambda: mma.Case.from_arrays(image, **{"name": "a", "scribble": strokes, **how}))
for how in ({"cases": "5"}, {"cases": 5.0}, {"size": "64"}, {"seed": 1.5}, {"cases": 10**11}, {"size": 10**6}):
    refused(lambda: mma.make_phantoms("more", **how))
for scheme, fold in (("own", "1"), ("own", 1.0), ("own", True), (["own"], 1)):
    refused(lambda: corpus.split(scheme, fold))
refused(lambda: corpus.of("a"))
for classes in (["bg", "x", "x"], "bg", [], ["bg"], None, ["bg", 1], {"bg": 0, "x": 1}):
    refused(lambda: mma.score(mask, mask, classes=classes, spacing=(1, 1, 1)))
"""

LIST = "allowed is a list of names, background first"
FOLDS = "allowed is Split(train=[…], val=[…], test=[…]) of names"
SAID = f"""
make_corpus: classes are 'bg', {LIST}
make_corpus: classes are {{'bg'}}, {LIST}
make_corpus: classes are {{'x': 1, 'bg': 0}}, {LIST}
make_corpus: class 1 is a int, allowed is a text
make_corpus: classes are None, {LIST}
make_corpus: classes are 2, {LIST}
cases: Case(name='a', patient='a', shape=(3, 16, 16), scribble), allowed are several: a list or a generator of cases
cases: 'a' is a str, allowed is what Case.from_arrays makes
cases: 'abc', allowed are several: a list or a generator of cases
cases: None, allowed are several: a list or a generator of cases
cases: None is a NoneType, allowed is what Case.from_arrays makes
folds: 'own', allowed is a list of Split(train=…, val=…, test=…)
folds: Split(train=('a',), val=('b',), test=()), allowed is a list of Split(train=…, val=…, test=…)
folds: fold 1 is 5, {FOLDS}
folds: fold 1 is ('a', 'b'), {FOLDS}
folds: fold 1 is (('a',), 'b', ()), {FOLDS}
folds: fold 1 names patient 2, allowed are texts
validate: 'x', allowed is a number
channels: 'T1', allowed is a list such as [Channel('T1'), Channel('CT', 'CT')]
a: ignore 300, allowed are codes from 0 to 255
a: ignore -1, allowed are codes from 0 to 255
a: ignore: '255', must be a whole number
a: ignore: None, must be a whole number
a: scribble: label 255 is of no class, and ignore is 4; allowed are codes below it
case 5: name is a int, allowed is a text
case 'a': phase is a int, allowed is a text
channels: 'T1', allowed is a list such as [Channel('T1'), Channel('CT', 'CT')]
a: channel 5 is a int, allowed is a text
a: channel 'T1' has 'x', allowed is a number
a: channel 'T1' has percentile 500, allowed is a number above 0 and at most 100
a: channel 'CT' of kind CT has window 5, allowed are two numbers
cases: '5', must be a whole number
cases: 5.0, must be a whole number
size: '64', must be a whole number
seed: 1.5, must be a whole number
cases: 100,000,000,000 of 128 × 128 pixels a slice take …; ask for fewer or smaller ones
cases: 20 of 1,000,000 × 1,000,000 pixels a slice take …; ask for fewer or smaller ones
corpus: fold: '1', must be a whole number
corpus: fold: 1.0, must be a whole number
corpus: fold: True, must be a whole number
corpus: no folds named ['own'], allowed are own
corpus: patients are 'a', allowed is a list of names
score: 3 classes, allowed are 2 to 250 of unique names
score: classes are 'bg', {LIST}
score: 0 classes, allowed are 2 to 250 of unique names
score: 1 class, allowed are 2 to 250 of unique names
score: classes are None, {LIST}
score: class 1 is a int, allowed is a text
score: classes are {{'bg': 0, 'x': 1}}, {LIST}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("types"),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
    )
    assert not done.stderr
    return done.stdout.splitlines()


def test_arguments_of_another_type_are_one_clear_line(said: list[str]) -> None:
    assert [re.sub(r"take .* free;", "take …;", line) for line in said] == SAID.strip().splitlines()
