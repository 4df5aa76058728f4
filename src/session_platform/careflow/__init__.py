"""CareFlow: what is asked for, the tasks it is made of, and who does them until they are done.

The room decides what a service consists of (data, not code), what may follow what, whose turn it is, how often and when a
failed attempt is repeated, how far a request is, and that every task and every request ends exactly once. The task table is the
queue: of functions of the platform, of services, of staff. Whoever claims a task holds it, functions and services for a lease,
and an attempt that lost it to another commits nothing.

It refuses to know what a task does (executors are functions that the wiring hands over), who may ask (rights are the caller's
matter), what a session is (`Neighbours` are told), and how events reach anybody.
"""

from session_platform.careflow.attempts import Executor, Failed, Outcome, Succeeded, TaskRun
from session_platform.careflow.catalogue import SERVICES, Catalogue, Failure, ServiceDefinition, TaskDefinition, load_catalogue
from session_platform.careflow.commands import LEASE_S, Careflow
from session_platform.careflow.flow import Neighbours
from session_platform.careflow.hands import Completion, Hand
from session_platform.careflow.model import may_claim
from session_platform.careflow.published import PublishedRequests, open_request_owner, session_of_request
from session_platform.careflow.published_tasks import PublishedTasks
from session_platform.careflow.reads import assigned, open_tasks
from session_platform.careflow.submission import NewRequest
from session_platform.careflow.views import RequestView, ServiceView, TaskAtWork, TaskStanding, TaskView, queued
from session_platform.careflow.worker import Worker

__all__ = [
    "LEASE_S",
    "SERVICES",
    "Careflow",
    "Catalogue",
    "Completion",
    "Executor",
    "Failed",
    "Failure",
    "Hand",
    "Neighbours",
    "NewRequest",
    "Outcome",
    "PublishedRequests",
    "PublishedTasks",
    "RequestView",
    "ServiceDefinition",
    "ServiceView",
    "Succeeded",
    "TaskAtWork",
    "TaskDefinition",
    "TaskRun",
    "TaskStanding",
    "TaskView",
    "Worker",
    "assigned",
    "load_catalogue",
    "may_claim",
    "open_request_owner",
    "open_tasks",
    "queued",
    "session_of_request",
]
