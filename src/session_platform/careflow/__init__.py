"""CareFlow: what is asked for, the tasks it is made of, and who does them until they are done.

The room decides what a service consists of (data, not code), what may follow what, whose turn it is, how often and when a
failed attempt is repeated, how far a request is, and that every task and every request ends exactly once. The task table is the
queue: whoever claims a task holds it for a lease, and an attempt that lost it to another commits nothing.

It refuses to know what a task does (executors are functions that the wiring hands over), who may ask (rights are the caller's
matter), what a session is (it tells ``opened`` and ``closed``), and how events reach anybody.
"""

from session_platform.careflow.catalogue import SERVICES, Catalogue, Failure, ServiceDefinition, TaskDefinition, load_catalogue
from session_platform.careflow.commands import LEASE_S, Careflow, Failed, Outcome, Succeeded, TaskRun
from session_platform.careflow.submission import NewRequest
from session_platform.careflow.views import RequestView, ServiceView, TaskView
from session_platform.careflow.worker import Executor, Worker

__all__ = [
    "LEASE_S",
    "SERVICES",
    "Careflow",
    "Catalogue",
    "Executor",
    "Failed",
    "Failure",
    "NewRequest",
    "Outcome",
    "RequestView",
    "ServiceDefinition",
    "ServiceView",
    "Succeeded",
    "TaskDefinition",
    "TaskRun",
    "TaskView",
    "Worker",
    "load_catalogue",
]
