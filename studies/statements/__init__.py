"""What this repository states in numbers or rankings, and the rule that computes each statement from its table.

One module per table. ``ANSWER``, if it is there, is the answer of the study of this name, as its caption prints it;
``README`` are statements that stand in README.md or in a page of docs. ``exempt`` lists sentences that need no rule.

    python -m studies.statements            # `make sentences`: answers, captions, README are worded again
"""
