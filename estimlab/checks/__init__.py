"""Does an estimator do what it claims? Faults, contract, expectations by quadrature, gates where only sampling reaches.

``check_estimator`` judges and reports; ``parametrize_with_checks`` makes a pytest item of every claim.
"""

from estimlab.checks.given import expected_of
from estimlab.checks.judge import CHECKS, CLAIMS, Check, check_estimator
from estimlab.checks.pytest_items import parametrize_with_checks
from estimlab.checks.report import CheckFailedWarning, CheckReport, Row

__all__ = [
    "CHECKS",
    "CLAIMS",
    "Check",
    "CheckFailedWarning",
    "CheckReport",
    "Row",
    "check_estimator",
    "expected_of",
    "parametrize_with_checks",
]
