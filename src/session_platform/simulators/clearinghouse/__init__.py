"""The clearinghouse simulator: the real-time eligibility API, with the demo members' payers behind it.

It answers at the paths of the simulators' process that no other simulator has.
"""

__all__: list[str] = []
