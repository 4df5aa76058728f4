"""``python -m tests.servers``: obtain everything now, so that the tests need not wait for it."""

import sys

from tests.servers import PackageMissing, ServerDidNotStart, obtain

try:
    obtain.postgres()
    obtain.redis()
    obtain.kafka()
except (PackageMissing, ServerDidNotStart) as error:
    sys.exit(str(error))
