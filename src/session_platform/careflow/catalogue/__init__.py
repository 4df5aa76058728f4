"""What can be asked for: services as data, read from files once, at the start.

It decides what a declaration may say, and says where in which file a mistake is. It refuses to know what becomes of a request.
"""

from session_platform.careflow.catalogue.definitions import (
    INTERNAL_ERROR,
    NOT_DONE,
    OWN_FAILURES,
    SERVICE_CHANGED,
    TIMED_OUT,
    Catalogue,
    ExecutorKind,
    Failure,
    Order,
    ResultFrom,
    ServiceDefinition,
    TaskDefinition,
)
from session_platform.careflow.catalogue.loading import OWN_FUNCTIONS, SERVICES, load_catalogue

__all__ = [
    "INTERNAL_ERROR",
    "NOT_DONE",
    "OWN_FAILURES",
    "OWN_FUNCTIONS",
    "SERVICES",
    "SERVICE_CHANGED",
    "TIMED_OUT",
    "Catalogue",
    "ExecutorKind",
    "Failure",
    "Order",
    "ResultFrom",
    "ServiceDefinition",
    "TaskDefinition",
    "load_catalogue",
]
