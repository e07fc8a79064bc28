"""`bentoml`, as `sequela serve` starts it: that a worker died is noticed within two seconds instead of ten.

    python -m serving.start serve serving.service:RiskService --port 3000

How often the process above the workers looks after them is an argument that no option of BentoML reaches.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

LOOK_SECONDS = 2.0
"""Between two looks; BentoML's own is 10. A look costs a system call for each worker."""


def main() -> None:
    """BentoML's command line."""
    with suppress(ImportError, AttributeError):  # should it be called otherwise some day, ten seconds it is
        from bentoml._internal.utils import circus

        circus.create_standalone_arbiter = partial(circus.create_standalone_arbiter, check_delay=LOOK_SECONDS)
    from bentoml_cli.cli import cli

    cli()


if __name__ == "__main__":
    main()
