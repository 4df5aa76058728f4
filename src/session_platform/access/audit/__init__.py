"""Audit: who did or read what, or was refused; and the proof that nobody changed that record afterwards.

It decides what a record is (`record`, in the transaction of the thing itself), how records become a hash chain that one sealer
carries on (`Sealer`), what a whole chain is and where a broken one breaks (`verify`, `verify_lines`), and how the record leaves
the house (`export_lines`, `fhir_lines`). It refuses to know what is worth a record: that is said where the thing happens.
Records are kept for ever: nothing here deletes.
"""

from session_platform.access.audit.chain import Break, Fault, Head, Verification
from session_platform.access.audit.export import Period, export_lines, fhir_lines
from session_platform.access.audit.lines import verify_lines
from session_platform.access.audit.listing import AuditRecord, Listed, Wanted, listed
from session_platform.access.audit.record import Outcome, record
from session_platform.access.audit.sealer import Sealer
from session_platform.access.audit.stored import waiting
from session_platform.access.audit.verify import verify

__all__ = [
    "AuditRecord",
    "Break",
    "Fault",
    "Head",
    "Listed",
    "Outcome",
    "Period",
    "Sealer",
    "Verification",
    "Wanted",
    "export_lines",
    "fhir_lines",
    "listed",
    "record",
    "verify",
    "verify_lines",
    "waiting",
]
