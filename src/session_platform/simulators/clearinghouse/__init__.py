"""The clearinghouse simulator: the real-time eligibility API, with the demo members' payers behind it.

``python -m session_platform.simulators.clearinghouse [--port 0] [--speed 1.0] [--seed 0]`` prints ``listening
http://127.0.0.1:PORT`` and answers until its standard input closes.
"""

__all__: list[str] = []
