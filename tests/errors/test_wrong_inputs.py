"""Wrong inputs, in Python and on the command line, are refused in a sentence; unambiguous ones are taken.

The tables lie beside this file; ``python tests/errors/wrong_inputs.py`` prints every message.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "wrong_inputs.py"
LONGEST = 900  # characters: two sentences, and a list of names


@pytest.fixture(scope="module")
def rows():
    """What each input was answered, in one process: table, input, expected words, verdict, message."""
    done = subprocess.run([sys.executable, str(SCRIPT), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_input_is_answered_as_the_table_says(rows):
    wrong = []
    for kind, given, words, verdict, said in rows:
        expected = "accepted" if kind == "taken" else "refused"
        refused_badly = kind != "taken" and (
            words not in said or not words or "Traceback" in said or len(said) > LONGEST
        )
        if verdict != expected or refused_badly:
            wrong.append(f"{given}\n    {verdict}: {said}\n    expected: {words}")
    assert not wrong, "\n".join(wrong)


def test_the_table_is_long_enough(rows):
    kinds = [kind for kind, *_ in rows]
    assert kinds.count("python") >= 150
    assert kinds.count("command_line") >= 50
    assert kinds.count("taken") >= 40
    assert len({given for _, given, *_ in rows}) == len(rows)
