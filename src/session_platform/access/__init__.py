"""Access: who asks, what they may see and do, from where they may ask, and the record that they did.

The room decides whether a token speaks for somebody (`TokenVerifier`), which member's things that somebody may reach (`policy`,
the one table, and `Rights`, which asks it about real people), how a right that ends (`rights_changed`) or was taken back
(`revoke_token`, `revoke_issued_before`, `disconnect`) reaches every process (`RightsWatch`), which browsers and which plaintext
are let in (`OriginPolicy`, `TransportPolicy`), and how an audit record is written (`audit.record`). It refuses to know the
business: that staff care for a member, and which accounts a member has, it learns from functions that the wiring hands over.
"""

from session_platform.access import audit, policy
from session_platform.access.forgetting import forget_past
from session_platform.access.glass import break_glass
from session_platform.access.identity import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole
from session_platform.access.keys import KeyRing, jwks_at, read_jwks
from session_platform.access.origins import OriginPolicy, TransportPolicy, is_loopback, token_in_path, token_in_query
from session_platform.access.policy import Standing
from session_platform.access.relations import Relation, RightChange, rights_changed
from session_platform.access.revocations import disconnect, revoke_issued_before, revoke_token
from session_platform.access.rights import Rights
from session_platform.access.tokens import DEVELOPMENT_SECRET_MIN_BYTES, TokenVerifier, mint_development_token
from session_platform.access.watch import Changes, RightsWatch

__all__ = [
    "DEVELOPMENT_SECRET_MIN_BYTES",
    "AdminIdentity",
    "Changes",
    "Identity",
    "KeyRing",
    "MemberIdentity",
    "OriginPolicy",
    "Relation",
    "RightChange",
    "Rights",
    "RightsWatch",
    "ServiceIdentity",
    "StaffIdentity",
    "StaffRole",
    "Standing",
    "TokenVerifier",
    "TransportPolicy",
    "audit",
    "break_glass",
    "disconnect",
    "forget_past",
    "is_loopback",
    "jwks_at",
    "mint_development_token",
    "policy",
    "read_jwks",
    "revoke_issued_before",
    "revoke_token",
    "rights_changed",
    "token_in_path",
    "token_in_query",
]
