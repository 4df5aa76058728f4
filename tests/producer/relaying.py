"""A backend's relay as a program: ``relaying.py DATABASE ENDPOINT TOKEN``."""

import sys

from sqlalchemy import create_engine

from digital_session_producer import SyncProducer
from digital_session_producer.outbox import Limits, Relay
from tests.producer.backend import OUTBOX, SOURCE

database, endpoint, token = sys.argv[1:]
with SyncProducer(endpoint, SOURCE, token=token) as producer:
    Relay(create_engine(database), OUTBOX, producer, limits=Limits(batch=7, lease_s=0.3)).run(poll_s=0.01)
