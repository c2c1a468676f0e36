from pathlib import Path

import pytest

from attune import params
from attune.annotation.protocol import Protocol
from attune.demo import recordings
from attune.demo.config import DemoConfig
from tests.conftest import ROOT

TINY = DemoConfig(sessions=4, task_seconds=(6, 8), pause_seconds=(1, 2), simulated_sessions=40)


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    return params.load("engagement.protocol", Protocol, ROOT / "params.yaml")


@pytest.fixture(scope="session")
def committed() -> DemoConfig:
    return params.load("demo", DemoConfig, ROOT / "params.yaml")


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory: pytest.TempPathFactory, protocol: Protocol) -> Path:
    out = tmp_path_factory.mktemp("demo")
    recordings.record(out, TINY, protocol, workers=1)
    return out
