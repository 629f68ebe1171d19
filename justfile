# `just` lists the recipes. They need nothing but uv; .ci/run calls the same.

uv := env("UV", "uv")
captures := "../shared/kraken/captures"

_list:
    @just --list

# the README's test command
test *arguments:
    {{ uv }} run pytest {{ arguments }}

# style, and what bugs look like
lint:
    {{ uv }} run --no-sync ruff check .
    {{ uv }} run --no-sync ruff format --check .

# both type checkers
types:
    {{ uv }} run --no-sync mypy
    {{ uv }} run --no-sync pyright
    cd examples/arbitrade-calm && MYPYPATH=src {{ uv }} run --no-sync --project ../.. mypy src tests

# who may import whom
imports:
    {{ uv }} run --no-sync lint-imports

# the container's recipe
container:
    {{ uv }} run --no-sync hadolint Dockerfile

# everything a change must pass
ci:
    .ci/run

# write the code as `lint` wants it
fmt:
    {{ uv }} run --no-sync ruff check --fix .
    {{ uv }} run --no-sync ruff format .

# the bot against a simulated exchange
demo *arguments:
    {{ uv }} run arbitrade demo {{ arguments }}

# the hot path against its baseline, in one run
bench *arguments:
    {{ uv }} run python -m benchmarks.hot_path {{ arguments }}

# every other figure: memory, replays and sweeps, recording, time to start, alerts to a dead endpoint, toggling under load, a shadow's cost
figures:
    {{ uv }} run python -m benchmarks.footprint
    {{ uv }} run python -m benchmarks.replay
    {{ uv }} run python -m benchmarks.recorder
    {{ uv }} run python -m benchmarks.desks
    {{ uv }} run python -m benchmarks.start
    {{ uv }} run python -m benchmarks.alerts
    {{ uv }} run python -m benchmarks.toggle --toggles 100 --json
    {{ uv }} run python -m tests.shadow.cost

# the same tests with many more examples, then damaged recordings: for the night
long runs="10000" damaged="200000":
    ARBITRADE_TEST_RUNS={{ runs }} ARBITRADE_MUTATIONS={{ damaged }} {{ uv }} run pytest
    {{ uv }} run python -m arbitrade_kraken.mutations --count {{ damaged }} --seed 2 {{ captures }}/*.ndjson

# write the pages that are made from the code
docs:
    {{ uv }} run --no-sync arbitrade settings list --markdown > docs/settings.md
    {{ uv }} run --no-sync python -m tests.house.hooks_page > docs/hooks.md

# resolve every dependency anew and pin what came out in pyproject.toml (docs/adr/0006)
pins:
    {{ uv }} run --no-project python .ci/pins.py
