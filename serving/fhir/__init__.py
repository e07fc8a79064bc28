"""The service in the hospital's language, FHIR R4: a Bundle in, a RiskAssessment out.

`record` reads what came, as `resources`, `codes` and `known` have it; `risk_assessment` writes the answer, and
`operation` is both in one; `conformance` says what there is; `outcome` turns refusals into OperationOutcomes.
"""
