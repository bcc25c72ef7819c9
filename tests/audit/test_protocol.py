"""A protocol is sealed before data are seen; a run that departs from it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cxr_audit import load_config
from cxr_audit.audit import write_protocol
from cxr_audit.audit.protocol import read_protocol, read_protocol_of_run
from cxr_audit.errors import ConfigError

from tests.audit.runs import run

CRITERIA = "acceptance.criteria=[{metric: failed, share_at_most: 0}]"


def sealed(config_file: Path, *overrides: str) -> Path:
    path = config_file.with_name("protocol.json")
    write_protocol(load_config(config_file, [CRITERIA, *overrides]), path)
    return path


def test_a_run_keeps_the_protocol_that_it_followed(config_file: Path) -> None:
    path = sealed(config_file, "run.operator=A. Examiner")
    follows = (CRITERIA, f"run.protocol={path}")
    folder = run(config_file, *follows, limit=2)
    record = read_protocol_of_run(folder)
    assert record is not None
    assert record.sealed == read_protocol(load_config(config_file, follows))
    assert record.sealed.operator == "A. Examiner"
    assert record.sealed.created <= folder.read_run().started
    assert str(config_file.parent) not in (folder.path / "protocol.json").read_text()
    assert "protocol.json" in (folder.path / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("acceptance.criteria=[{metric: failed, share_at_most: 0.5}]", "acceptance.criteria"),
        ("classifier.threshold=0.9", "classifier.threshold"),
        ("run.seed=7", "run.seed"),
    ],
)
def test_a_config_that_departs_from_its_protocol_is_refused(
    config_file: Path, override: str, key: str
) -> None:
    path = sealed(config_file)
    config = load_config(config_file, [CRITERIA, f"run.protocol={path}", override])
    with pytest.raises(ConfigError, match="something else than its protocol") as error:
        read_protocol(config)
    assert key in str(error.value)


def test_who_and_where_are_not_fixed(config_file: Path) -> None:
    path = sealed(config_file)
    others = ("run.operator=B", "run.host=here", "run.name=other", "engine.batch_size=2")
    assert read_protocol(load_config(config_file, [CRITERIA, f"run.protocol={path}", *others]))


def test_a_changed_protocol_and_a_changed_model_are_refused(
    config_file: Path, model_file: Path
) -> None:
    path = sealed(config_file)
    config = load_config(config_file, [CRITERIA, f"run.protocol={path}"])
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"created": "2020-01-01T00:00:00Z"}))
    with pytest.raises(ConfigError, match="was changed after it was sealed"):
        read_protocol(config)
    path.write_text(json.dumps(content))
    other = config_file.with_name(model_file.name)
    other.write_bytes(model_file.read_bytes() + b" ")
    moved = config.model_copy(
        update={"classifier": config.classifier.model_copy(update={"path": str(other)})}
    )
    with pytest.raises(ConfigError):
        read_protocol(moved)


def test_a_protocol_is_never_overwritten_and_needs_criteria(config_file: Path) -> None:
    path = sealed(config_file)
    with pytest.raises(ConfigError, match="never overwritten"):
        write_protocol(load_config(config_file, [CRITERIA]), path)
    with pytest.raises(ConfigError, match="no acceptance criterion"):
        write_protocol(load_config(config_file), path.with_name("other.json"))


def test_earlier_runs_on_the_same_files_are_listed(config_file: Path) -> None:
    run(config_file, "run.name=first", limit=3)
    folder = run(config_file, "run.name=second", "run.seed=5")
    record = read_protocol_of_run(folder)
    assert record is not None
    assert (record.sealed, record.num_compared) == (None, 8)
    (earlier,) = record.earlier
    assert (earlier.name, earlier.num_shared, earlier.has_same_config) == ("first", 3, False)
