"""`python -m tests.fuzz`: hostile inputs by the million, from the corpus beside this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from tests.fuzz.live import demo, fuzz_live
from tests.fuzz.run import CORPUS, Finding, Outcome, fuzz
from tests.fuzz.targets import TARGETS

GROWTH_MAX_MB = 30.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Fuzzing of everything that takes bytes from outside."""


@main.command()
@click.option("--inputs", default=1_000_000, show_default=True, help="In all, over every target.")
@click.option("--live", default=40_000, show_default=True, help="How many of them go to a whole gateway.")
@click.option("--seed", default=1, show_default=True)
def run(inputs: int, live: int, seed: int) -> None:
    """Mutants of the corpus, for every target and for a running gateway. Ends with status 1 on a finding."""
    share = (inputs - live) // len(TARGETS)
    outcomes: dict[str, Outcome] = {}
    try:
        for target in TARGETS:
            outcomes[target] = fuzz(target, share, seed)
            click.echo(_line(target, outcomes[target]))
        if live:
            outcomes["a running gateway"] = fuzz_live(live, seed)
            click.echo(_line("a running gateway", outcomes["a running gateway"]))
    except Finding as finding:
        raise click.ClickException(str(finding)) from finding
    grown = [name for name, outcome in outcomes.items() if outcome.grown_mb > GROWTH_MAX_MB]
    click.echo(f"{sum(outcome.inputs for outcome in outcomes.values()):,} inputs, no finding")
    if grown:
        raise click.ClickException(f"memory grew: {', '.join(grown)}")


@main.command()
@click.argument("target", type=click.Choice(list(TARGETS)))
@click.option("--seconds", default=30, show_default=True)
@click.option("--found", type=click.Path(path_type=Path), default=Path("reports/fuzz"), show_default=True)
def guided(target: str, seconds: int, found: Path) -> None:
    """Inputs chosen by the code they reach, kept in a folder (needs atheris: requirements/fuzz.txt)."""
    import atheris

    kept = found / target
    kept.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5"]
    atheris.instrument_all()
    # New inputs go to the first folder.
    atheris.Setup([sys.argv[0], *options, str(kept), str(CORPUS / target)], TARGETS[target])
    atheris.Fuzz()


@main.command()
@click.option("--examples", default=50, show_default=True, help="Requests for each operation and phase.")
def api(examples: int) -> None:
    """What the OpenAPI document describes, and what it does not (needs schemathesis: requirements/fuzz.txt)."""
    schemathesis = Path(sys.executable).with_name("schemathesis")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    with demo() as (_, port):
        address = f"http://127.0.0.1:{port}"
        options = ["--checks", checks, "--max-examples", str(examples), "--seed", "1", "--suppress-health-check", "all"]
        sys.exit(subprocess.run([schemathesis, "run", f"{address}/v1/openapi.json", *options], check=False).returncode)


def _line(name: str, outcome: Outcome) -> str:
    rate = outcome.inputs / outcome.seconds
    return f"{name:<18} {outcome.inputs:>9,} inputs  {rate:>8,.0f}/s  memory {outcome.grown_mb:+.1f} MB"


if __name__ == "__main__":
    main(prog_name="python -m tests.fuzz")
