"""Access: who asks, what they may see and do, from where they may ask, and the record that they did.

The room decides whether a token speaks for somebody (`TokenVerifier`), which member's things that somebody may reach (`Rights`,
the one place of policy), which browsers and which plaintext are let in (`OriginPolicy`, `TransportPolicy`), and how an audit
record is written (`audit.record`). It refuses to know the business: that staff care for a member, and which accounts a member
has, it learns from functions that the wiring hands over.
"""

from session_platform.access import audit
from session_platform.access.identity import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole
from session_platform.access.keys import KeyRing, jwks_at
from session_platform.access.origins import OriginPolicy, TransportPolicy, is_loopback, token_in_path, token_in_query
from session_platform.access.rights import Relation, Rights
from session_platform.access.tokens import DEVELOPMENT_SECRET_MIN_BYTES, TokenVerifier, mint_development_token

__all__ = [
    "DEVELOPMENT_SECRET_MIN_BYTES",
    "AdminIdentity",
    "Identity",
    "KeyRing",
    "MemberIdentity",
    "OriginPolicy",
    "Relation",
    "Rights",
    "ServiceIdentity",
    "StaffIdentity",
    "StaffRole",
    "TokenVerifier",
    "TransportPolicy",
    "audit",
    "is_loopback",
    "jwks_at",
    "mint_development_token",
    "token_in_path",
    "token_in_query",
]
