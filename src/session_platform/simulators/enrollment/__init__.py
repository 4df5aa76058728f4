"""The enrollment simulator: coverage records and their ids in a payer directory, for the demo members and anybody else.

It answers below ``/enrollment`` of the simulators' process. It decides nothing that a test could not foresee: the same account,
the same record; account ``A200006`` is told once that the system is busy.
"""

__all__: list[str] = []
