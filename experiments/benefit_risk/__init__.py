"""Benefit against risk, by the states that patients go through: `sequela benefit-risk`.

question    whose states, until when, and what a day in each is worth
analysis    states by group, benefit against harm, weighted time, thresholds
patient     the same for one patient, by the cohort's transition models
lines       every number, one line each, for tables and for other programs
withheld    what is not shown of real patients
sentences   what was found and what it assumes, in words
shown       in the terminal
figures, page   one page for people
"""

from experiments.benefit_risk.analysis import BenefitRisk, analyse
from experiments.benefit_risk.lines import plain
from experiments.benefit_risk.page import write_benefit_risk_page
from experiments.benefit_risk.patient import PatientStates, patient_states, read_patient
from experiments.benefit_risk.question import Question, ask
from experiments.benefit_risk.shown import print_benefit_risk

__all__ = [
    "BenefitRisk",
    "PatientStates",
    "Question",
    "analyse",
    "ask",
    "patient_states",
    "plain",
    "print_benefit_risk",
    "read_patient",
    "write_benefit_risk_page",
]
