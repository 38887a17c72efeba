"""Every wrong input of the table, tried: run this file to read all messages.

    python tests/errors/wrong_inputs.py            prints id and message of each
    python tests/errors/wrong_inputs.py --json     the same as JSON

It runs apart from pytest, whose import hook would refuse most of these by a type checker before the package sees them.
"""

import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from typer.testing import CliRunner

import estimlab as el
from estimlab.cli import app

TABLE, COMMANDS = Path(__file__).parent, "command_line"


def cases(kind):
    """Pairs of what is given and of words that the answer must have, of one of the tables beside this file."""
    lines = (TABLE / f"{kind}.txt").read_text().splitlines()
    return [line.partition("  =>  ")[::2] for line in lines if line and not line.startswith("#")]


OWN = """\
import estimlab as el
from dataclasses import dataclass

class Unfinished(el.HardForward):
    pass

class Undecorated(el.HardForward):
    width: float = 1.0
    def derivative(self, a, bit, uniform, law):
        return law.density(a)

@dataclass(frozen=True)
class Scalar(el.HardForward):
    width: float = 1.0
    def derivative(self, a, bit, uniform, law):
        return law.density(a).mean()
"""
FILES = {
    "own.py": OWN,
    "broken.py": "x = (\n",
    "notes.txt": "",
    "studies/broken.py": "1 / 0\n",
    "studies/empty.py": "x = 1\n",
    "runs/run.json": "{",
}


def names():
    """What snippets may use."""
    scope = {}
    exec(OWN, scope)
    linear = nn.Linear
    net = el.Chain([linear(3, 2)], linear(2, 2))
    x, y = torch.randn(2, 3), torch.tensor([0, 1])
    problem = el.Problem(net, el.CrossEntropy(), x, y)
    found = {
        "el": el, "np": np, "torch": torch, "nn": nn, "L": linear, "net": net, "x": x, "y": y, "problem": problem,
        "p1": el.Problem(el.Chain([linear(1, 1, bias=False)]), el.Quadratic(), [[1.0]]),
        "mixed": el.Chain([linear(3, 2)], linear(2, 2).double()),
        "truth": el.LayerwiseEnumeration().gradient(problem), "m": el.exact_moments(problem, el.ZGR()),
        "est": el.ZGR(), "inf": float("inf"), "nan": float("nan"),
    }  # fmt: skip
    return found | {name: scope[name] for name in ("Unfinished", "Undecorated", "Scalar")}


def tried_in_python(snippet, scope):
    """Kind and message of what a snippet raises; "accepted" where it raises nothing."""
    try:
        return "accepted", repr(eval(snippet, dict(scope)))[:200]
    except el.EstimlabError as error:
        return "refused", str(error)
    except BaseException as error:
        return f"raised {type(error).__name__}", str(error)


def tried_on_the_command_line(arguments):
    """The same of a command, in process."""
    result = CliRunner().invoke(app, arguments.split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"raised {type(result.exception).__name__}", str(result.exception)
    said = " ".join(re.sub("[│╭╮╰╯─]", "", result.output).split())
    return ("refused" if result.exit_code else "accepted"), said


def main():
    warnings.simplefilter("ignore")
    rows, scope = [], names()
    for kind in ("python", "taken"):
        rows += [(kind, given, words, *tried_in_python(given, scope)) for given, words in cases(kind)]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            Path(folder, name).parent.mkdir(exist_ok=True)
            Path(folder, name).write_text(text)
        os.chdir(folder)
        rows += [(COMMANDS, given, words, *tried_on_the_command_line(given)) for given, words in cases(COMMANDS)]
        os.chdir("/")
    if "--json" in sys.argv:
        print(json.dumps(rows))
    else:
        for _, given, _, verdict, said in rows:
            print(f"{given}\n    {verdict}: {said}")


if __name__ == "__main__":
    main()
