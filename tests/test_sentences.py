"""What README, captions and answers say in numbers or rankings is what their tables say."""

import json
import re
from pathlib import Path

import pytest
from statements.exempt import ANSWERS, PAGES

from estimlab.errors import EstimlabError
from estimlab.results.statements import Statement, rewritten, tables_of, worded
from estimlab.results.study import load_study
from studies.statements.__main__ import pages, stated

ROOT = Path(__file__).parents[1]
STUDIES = {path.stem: load_study(path) for path in sorted((ROOT / "studies").glob("*.py"))}
TABLES = tables_of(ROOT / "studies")
TEXTS = {page: page.read_text() for page in pages()}
RANKING = re.compile(
    r"\d|\b(most|mostly|least|best|worst|smallest|largest|smaller|larger|lowest|highest|nearest|closest|fastest|"
    r"better|worse|half|third|twice|every|none|never|always)\b"
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@pytest.mark.parametrize("name", STUDIES)
def test_an_answer_is_what_its_table_says(name):
    answer = STUDIES[name].worded(TABLES)
    record = json.loads((ROOT / "studies/tables" / f"{name}.json").read_text())
    assert answer.contradicted == ()
    assert answer.rests_on
    assert record["answer"] == answer.text, "make sentences"
    assert record["rests_on"] == answer.rests_on, "make sentences"


@pytest.mark.parametrize("statement", stated(), ids=lambda one: one.text[:40])
def test_a_page_says_what_tables_say(statement):
    (page,) = [page for page, text in TEXTS.items() if statement.pattern.search(text)]
    assert rewritten(TEXTS[page], (statement,), TABLES) == TEXTS[page], "make sentences"


def answers():
    parts = [(name, one) for name, study in STUDIES.items() for one in parts_of(study.study.answer)]
    return [(name, one) for name, one in parts if (name, one) not in ANSWERS]


def parts_of(answer):
    return (answer,) if isinstance(answer, str) else answer


@pytest.mark.parametrize(("name", "part"), answers(), ids=lambda value: str(value)[:20])
def test_an_answer_holds_no_number_or_ranking_without_a_rule(name, part):
    if isinstance(part, str):
        assert not RANKING.search(part), f"{name}: make it a Statement, or exempt it with a reason"
        return
    unruled = set(NUMBER.findall(re.sub(r"\{\w+\}", "", part.text))) - set(part.given)
    assert not unruled, f"{name}: numbers that no rule computes"


def sentences(text):
    """Prose of a page: no code, no table, no link's target, no comment; one sentence each."""
    text = re.sub(r"^\d\. ", "", text, flags=re.M)
    text = re.sub(r"```.*?```|<!--.*?-->|^\|.*?$|^#.*?$|^!\[.*?$|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.S | re.M)
    parts = re.split(r"(?<=[.:;])\s+(?=[A-Z*(-])|\n\s*\n|\n- ", text)
    return [" ".join(part.split()) for part in parts if part.split()]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_a_page_holds_no_number_or_ranking_without_a_rule(page):
    text = TEXTS[page]
    for statement in stated():
        text = statement.pattern.sub(" ", text)
    left = [one for one in sentences(text) if RANKING.search(one)]
    unknown = [one for one in left if not any(words in one for words in PAGES)]
    assert not unknown, "write a Statement, or exempt them with a reason"


def test_every_exemption_is_needed_and_says_why():
    held = " ".join(one for text in TEXTS.values() for one in sentences(text))
    for words, reason in PAGES.items():
        assert words in held, words
        assert len(reason) > 8, words


# ---- the mechanism itself


def rule(table):
    return {"n": f"{table['n']:.1f}", "m": str(table["m"]), "n is the larger": table["n"] > table["m"]}


TOY = Statement("It is {n} times, against {m} with the other.", ("toy",), rule, "Rests on {m}.")


def test_a_sentence_is_filled_and_says_what_it_rests_on():
    found = TOY.judged({"toy": {"n": 2.04, "m": 1}}.__getitem__)
    assert (found.text, found.rests_on) == ("It is 2.0 times, against 1 with the other.", "Rests on 1.")
    assert found.contradicted == ()


def test_a_flipped_ranking_is_found():
    read = {"toy": {"n": 2.0, "m": 3}}.__getitem__
    assert TOY.judged(read).contradicted == ("n is the larger",)
    assert "[Contradicted by the table: n is the larger.]" in worded((TOY,), read).text
    with pytest.raises(EstimlabError, match="n is the larger"):
        rewritten("It is 2.0 times, against 3 with the other.", (TOY,), read)


def test_a_rule_that_fails_costs_no_table():
    assert worded((TOY,), {"toy": {}}.__getitem__).contradicted == ("no rule (KeyError: 'n')",)


@pytest.mark.parametrize(
    "edited", ["It is 2.1 times,\nagainst 1 with the other.", "It is 2.0 times, against 7 with\nthe other."]
)
def test_a_number_edited_by_hand_is_put_right_and_lines_stay(edited):
    page = f"Before. {edited} After 2.1."
    again = rewritten(page, (TOY,), {"toy": {"n": 2.0, "m": 1}}.__getitem__)
    assert " ".join(again.split()) == "Before. It is 2.0 times, against 1 with the other. After 2.1."
    assert again.count("\n") == 1


def test_words_edited_by_hand_are_found():
    with pytest.raises(EstimlabError, match="stands 0 times"):
        rewritten("It is 2.0 times, against 1 with another.", (TOY,), {"toy": {"n": 2.0, "m": 1}}.__getitem__)
