"""The service under load.

speed       beside other servers of the same model
endurance   over a long time
swap        while the champion changes
campaign    spoilt requests by the hundred thousand
hospital_campaign  the same of FHIR and CDS Hooks
load        makes the requests
"""
