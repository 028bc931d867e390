"""The paper's claims, the toy's figures, and a verdict for each by a rule that was written down first.

claims.yaml ─ rules.py       what is compared with what, and by how much
models.py ─ conditions.py    what is trained, and what is asked of it: rows
verdicts.py                  rows → figures → verdicts, at any time again
"""

from salmonn_mini.evaluation.claims.rules import Claim, Rules, read_claims
from salmonn_mini.evaluation.claims.verdicts import (
    Evidence,
    claims_table,
    decide,
    markdown,
    shipped,
    shipped_claims,
    terminal_table,
)

__all__ = ["Claim", "Evidence", "Rules", "claims_table", "decide", "markdown", "read_claims", "shipped"]
__all__ += ["shipped_claims", "terminal_table"]
