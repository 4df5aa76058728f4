"""The directory: which members, accounts and staff exist, who holds which account, and whose panel a member is on.

It decides how ids are looked up, listed ones and those that exist by rule (`MemberPattern`), what a seed file must say, and
that what an administrator made of a panel stands over the seed. It refuses to know what anybody may do with a member (that is
`access`), and it holds nobody's data but what the seed file brought.
"""

from session_platform.directory.lookup import account, holders, member, staff
from session_platform.directory.panels import on_panel, put_on_panel, take_off_panel
from session_platform.directory.people import Account, Member, StaffMember, StaffRole
from session_platform.directory.seed import DEMO_SEED, MemberPattern, Seed, apply_seed, load_seed

__all__ = [
    "DEMO_SEED",
    "Account",
    "Member",
    "MemberPattern",
    "Seed",
    "StaffMember",
    "StaffRole",
    "account",
    "apply_seed",
    "holders",
    "load_seed",
    "member",
    "on_panel",
    "put_on_panel",
    "staff",
    "take_off_panel",
]
