from pathlib import Path

import pytest

from attune import params
from attune.demo.config import DemoConfig
from attune.problems import InputError

STYLE = "{lag_ms: 300, lag_jitter_ms: 100, min_span_ms: 500, missed: 0.1, excited_threshold: 0.5}"


def load(folder: Path, lines: str) -> DemoConfig:
    file = folder / "params.yaml"
    file.write_text("demo:\n" + "".join(f"  {line}\n" for line in lines.splitlines()))
    return params.load("demo", DemoConfig, file)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("sessions: 0", "demo.sessions"),
        ("sessions: 100", "demo.sessions"),
        ("seed: -1", "demo.seed"),
        ("task_seconds: [8, 6]", "demo"),
        ("task_seconds: [0.2, 6]", "demo.task_seconds.0"),
        ("task_seconds: [6]", "demo.task_seconds.1"),
        ("pause_seconds: [0, 1]", "demo.pause_seconds.0"),
        ("pause_seconds: [3, .inf]", "demo.pause_seconds.1"),
        ("simulated_sessions: 3", "demo.simulated_sessions"),
        ("styles: []", "demo.styles"),
        (f"styles: [{STYLE.replace('0.1', '1.0')}]", "demo.styles.0.missed"),
        (f"styles: [{STYLE.replace('0.5', '1.5')}]", "demo.styles.0.excited_threshold"),
        (f"styles: [{STYLE.replace('lag_ms: 300', 'lag_ms: -1')}]", "demo.styles.0.lag_ms"),
        ("widht: 384", "demo.widht"),
    ],
)
def test_values_out_of_range_are_refused_with_their_place(tmp_path: Path, lines: str, place: str) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, lines)
    assert place in {problem.where for problem in error.value.problems}


def test_the_committed_section_holds_the_defaults(committed: DemoConfig) -> None:
    assert committed == DemoConfig()
