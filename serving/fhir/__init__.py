"""The service in the hospital's language, FHIR R4: a Bundle in, a RiskAssessment out.

`bundle` reads what came, as `resources` and `codes` have it; `infusion` finds day 0; `risk_assessment` writes the
answer; `conformance` says what there is; `outcome` turns refusals into OperationOutcomes.
"""
