"""Options that published guidance names for patients after CAR-T cells, which tiers of risk may point to.

Information for a clinician, each with its source; nothing here is an order, and none was chosen by a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

_HAYDEN = "Hayden et al., EBMT, JACIE and EHA, Ann Oncol 2022;33:259–275"
_REJESKI = "Rejeski et al., EHA and EBMT, Blood 2023;142:865–877"
_HILL = "Hill and Seo, Blood 2020;136:925–935"
_FDA = "US Food and Drug Administration, safety communication of 23 January 2024"


@dataclass(frozen=True, slots=True)
class Option:
    """What guidance offers."""

    key: str
    title: str
    text: str
    """What the source says, as information."""
    source: str
    atc: tuple[str, ...] = ()
    """ATC codes (WHO) of medicines that it is about, by which a draft order is recognised; a code stands for all
    that begin with it."""
    rxnorm: tuple[str, ...] = ()
    """RxNorm codes of their ingredients, likewise, each for itself."""


_ALL = (
    Option(
        "herpes_prophylaxis",
        "Aciclovir or valaciclovir",
        "Guidance gives antiviral prophylaxis to all patients, from lymphodepletion until a year after infusion and "
        "until CD4 cells are above 200/µL.",
        _REJESKI,
        ("J05AB01", "J05AB11"),
        ("281", "73645"),  # aciclovir, valaciclovir
    ),
    Option(
        "pneumocystis_prophylaxis",
        "Co-trimoxazole or an alternative",
        "Guidance gives prophylaxis of Pneumocystis until a year after infusion and until CD4 cells are above 200/µL.",
        _HAYDEN,
        ("J01EE01", "P01AX06", "J04BA02", "P01CX01"),
        ("10831", "10180", "60212", "3108"),  # co-trimoxazole and its sulfamethoxazole, atovaquone, dapsone
    ),
    Option(
        "antibacterial_prophylaxis",
        "Antibacterial prophylaxis",
        "Guidance advises against it where the risk of haematotoxicity is low; where it is high it may be considered "
        "once neutrophils are below 500/µL, after local resistance.",
        _REJESKI,
        ("J01MA",),
        ("82122", "2551", "139462"),  # levofloxacin, ciprofloxacin, moxifloxacin
    ),
    Option(
        "antifungal_prophylaxis",
        "Mould-active prophylaxis",
        "Guidance considers it in prolonged severe neutropenia, under corticosteroids, and after an earlier mould "
        "infection or allogeneic transplantation.",
        _HAYDEN,
        ("J02AC02", "J02AC03", "J02AC04", "J02AC05"),
        ("28031", "121243", "282446"),  # itraconazole, voriconazole, posaconazole
    ),
    Option(
        "immunoglobulin_replacement",
        "Immunoglobulin replacement",
        "Guidance considers it in adults with immunoglobulin G at most 400 mg/dL and serious or recurrent infections.",
        _HILL,
        ("J06BA",),
    ),
    Option(
        "immunoglobulin_monitoring",
        "Immunoglobulin G every month",
        "Guidance measures it from the first month on, and again when infections recur.",
        _HILL,
    ),
    Option(
        "growth_factor",
        "Granulocyte colony-stimulating factor",
        "Guidance considers it from day 2 on where the risk of haematotoxicity is high, and in neutropenia below "
        "500/µL with or without infection.",
        _REJESKI,
        tuple(f"L03AA{number}" for number in ("02", "10", "13", "14", "15", "16", "17", "18")),  # GM-CSF is another
        ("68442", "338036"),  # filgrastim, pegfilgrastim
    ),
    Option(
        "count_monitoring",
        "Blood counts at shorter intervals",
        "Guidance grades haematotoxicity from counts, daily in the first month at high risk, and looks for other "
        "causes of prolonged cytopenia.",
        _REJESKI,
    ),
    Option(
        "malignancy_surveillance",
        "Lifelong surveillance for second malignancies",
        "Regulators ask for lifelong monitoring of everyone treated, and, in a new malignancy, for samples that are "
        "tested for the transgene.",
        _FDA,
    ),
)
OPTIONS: Mapping[str, Option] = {option.key: option for option in _ALL}
"""Every option known here, by key."""


def nearest_option(key: str) -> str:
    """What may have been meant by an unknown key."""
    found = get_close_matches(key[:64], OPTIONS, n=1)
    return f"the nearest is {found[0]}" if found else f"known here are {', '.join(OPTIONS)}"
