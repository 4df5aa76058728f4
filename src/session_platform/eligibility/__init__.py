"""Eligibility: whether an account is insured, and what for, as its payer says through a clearinghouse.

This room asks (one attempt at a time, one question at a time for an account), understands the answer or the payer's refusal,
keeps every answer, and says what changed: it emits ``rte.completed`` and ``coverage.updated`` in the transaction that its
caller runs. It refuses to know what a task or a request is, who retries and when, who the members are, and whether anybody may
read: the directory's part and the transaction come as arguments.
"""

from session_platform.eligibility.checking import Eligibility, RteResult
from session_platform.eligibility.checks import free_checks
from session_platform.eligibility.clearinghouse import Answered, Clearinghouse, Unanswered
from session_platform.eligibility.failures import FAILURES, Failure
from session_platform.eligibility.forgetting import forget
from session_platform.eligibility.model import Checked, CheckFailed, CheckRun, Insured
from session_platform.eligibility.published import PublishedCoverage
from session_platform.eligibility.stored import coverage_at, coverage_of

__all__ = [
    "FAILURES",
    "Answered",
    "CheckFailed",
    "CheckRun",
    "Checked",
    "Clearinghouse",
    "Eligibility",
    "Failure",
    "Insured",
    "PublishedCoverage",
    "RteResult",
    "Unanswered",
    "coverage_at",
    "coverage_of",
    "forget",
    "free_checks",
]
