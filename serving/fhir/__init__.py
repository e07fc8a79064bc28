"""The service in the hospital's language, FHIR R4: a Bundle in, a RiskAssessment out.

`entries` takes a Bundle apart; `versions`, `reading` and `whose` choose the resources that count; `infusions`,
`person`, `levels`, `diagnoses`, `happened` and `observations` read them, as `resources`, `times`, `codes` and `known`
have it; `record` is all of that. `risk_assessment` writes the answer, and `operation` is both in one; `conformance`
says what there is, in the forms of `media`; `outcome` turns refusals into OperationOutcomes.
"""
