"""What went wrong, as a FHIR OperationOutcome."""

from typing import Any

import msgspec

MEDIA_TYPE = "application/fhir+json"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """``code`` is of the value set issue-type; ``expression`` the FHIRPath of the element, where there is one."""

    code: str
    diagnostics: str
    expression: str = ""
    severity: str = "error"


class OutcomeError(Exception):
    """A request that is answered with an OperationOutcome and an HTTP status."""

    def __init__(self, status: int, *issues: Issue, headers: dict[str, str] | None = None) -> None:
        super().__init__("; ".join(f"{issue.expression}: {issue.diagnostics}" for issue in issues))
        self.status = status
        self.issues = issues
        self.headers = headers or {}


def outcome_of(*issues: Issue) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def _issue(issue: Issue) -> dict[str, Any]:
    built: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    if issue.expression:
        built["expression"] = [issue.expression]
    return built
