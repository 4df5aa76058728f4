"""Enrollment: a member's coverage record at the enrollment system, and its id in the payer directory.

The room decides what is asked of that system, under which idempotency key, and what its answers and refusals mean. It refuses
to know what a task is, when an attempt is repeated (careflow's matter), and whether the payer knows the coverage
(eligibility's).

The system on the other side has a small HTTP API of our own (`client` has it in full), because there is no common one; the
simulator speaks it, and whoever runs a real one puts an adapter in front of it.
"""

from session_platform.enrollment.client import EnrollmentSystem
from session_platform.enrollment.failures import FAILURES, Failure
from session_platform.enrollment.model import Applicant, EnrollmentFailed, EnrollmentRun, StepDone, StepOutcome
from session_platform.enrollment.steps import Enrollment

__all__ = [
    "FAILURES",
    "Applicant",
    "Enrollment",
    "EnrollmentFailed",
    "EnrollmentRun",
    "EnrollmentSystem",
    "Failure",
    "StepDone",
    "StepOutcome",
]
