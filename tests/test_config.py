"""Configs: every mistake at once, with its line; overrides; paths."""

import json
from pathlib import Path

import pytest
from cxr_audit.config import AuditConfig, config_of, json_schema, load_config, measured_by, starter
from cxr_audit.config.starter import rewrite
from cxr_audit.errors import ConfigError

GOOD = """\
run: {name: a}
ingest:
  source: images
preprocess:
  scaling: unit
classifier:
  path: model.keras
  class_names: [NORMAL, PNEUMONIA]
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "audit.yaml"
    path.write_text(GOOD)
    return path


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).splitlines()


def test_paths_are_relative_to_the_config(config_file: Path) -> None:
    config = load_config(config_file)
    assert config.ingest.source == str(config_file.parent / "images")
    assert config.classifier.path == str(config_file.parent / "model.keras")
    assert config.run.output == config_file.parent / "reports"


def test_a_server_is_no_path_and_a_key_file_is_one(config_file: Path) -> None:
    source = "dicomweb+https://pacs.example/dicom-web?Modality=DX&StudyDescription=" + 120 * "x"
    config = load_config(
        config_file,
        [f"ingest.source={source}", "ingest.manifest=labels.csv", "privacy.key_file=secrets/key"],
    )
    assert config.ingest.source == source
    assert config.ingest.manifest == config_file.parent / "labels.csv"
    assert config.privacy.key_file == config_file.parent / "secrets" / "key"
    assert load_config(config_file).privacy.key_file is None


def test_a_home_that_nobody_has(config_file: Path) -> None:
    with pytest.raises(ConfigError, match="a user that does not exist on this machine"):
        load_config(config_file, ["ingest.source=~nobody-of-this-name/x"])


def test_where_the_key_lies_is_not_what_a_config_asks_for(config_file: Path) -> None:
    assert (
        load_config(config_file, ["privacy.key_file=a"]).sha256()
        == load_config(config_file).sha256()
    )
    assert (
        load_config(config_file, ["ingest.split=test"]).sha256()
        != load_config(config_file).sha256()
    )


def test_the_word_reference_is_no_path(config_file: Path) -> None:
    config = load_config(config_file, ["classifier.path=reference", "ingest.source=reference"])
    assert (config.classifier.path, config.ingest.source) == ("reference", "reference")


def test_five_mistakes_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "run:\n  nme: x\ningest:\n  source: a\npreprocess:\n  scaling: unt\n  rows: -1\n"
        "classifier:\n  path: m\nfocs: {}\n"
    )
    found = problems(path)
    assert found[0] == "5 problems in the config"
    assert found[1].startswith(f"{path}:1: run.name: missing")
    assert found[2] == f"{path}:2: run.nme: unknown key. Perhaps you meant 'name'"
    assert "bad.yaml:6: preprocess.scaling" in found[3]
    assert found[3].endswith("Perhaps you meant 'unit'")
    assert "bad.yaml:7: preprocess.rows" in found[4]
    assert found[5] == f"{path}:10: focs: unknown section. Perhaps you meant 'focus'"


def test_a_key_given_twice_is_refused(config_file: Path) -> None:
    config_file.write_text(
        GOOD + "focus:\n  high_focus_threshold: 0.4\n  high_focus_threshold: 0.6\n"
    )
    assert (
        "audit.yaml:11: focus.high_focus_threshold: given twice, first in line 10"
        in problems(config_file)[1]
    )


def test_an_override_is_parsed_as_yaml_and_an_empty_one_unsets(config_file: Path) -> None:
    config = load_config(
        config_file,
        ["explain.methods=[hirescam, grad-cam]", "classifier.class_names=", "run.seed=7"],
    )
    assert config.explain.methods == ("hirescam", "grad-cam")
    assert config.classifier.class_names == ()
    assert config.run.seed == 7


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("engine.workrs=2", "--set engine.workrs: unknown key. Perhaps you meant 'workers'"),
        ("foo.bar=1", "--set foo.bar: unknown section"),
        ("nonsense", "--set nonsense: expected section.key=value"),
        ("run.name=../../etc", "--set run.name: expected 1 to 64 letters, digits, dots"),
        ("preprocess.scale=2", "give either scaling, or both scale and offset"),
        ("classifier.target_class=PNEUMONA", "Perhaps you meant 'PNEUMONIA'"),
        ("preprocess.channels=2", "input should be 1 or 3, received 2"),
        ("explain.methods=grad-cam", "expected a list, as [a, b], received 'grad-cam'"),
        ("classifier.sha256=abc", "expected 64 hexadecimal digits, received 'abc'"),
        (
            'classifier.class_names=["NORMAL", "\\u202eLAMRON"]',
            "a character that cannot be printed",
        ),
        ('preprocess.scaling_source="a\\0b"', "a character that cannot be printed"),
        ('cohort.subgroups=["  "]', "nothing but spaces"),
    ],
)
def test_a_wrong_override_names_itself(config_file: Path, override: str, expected: str) -> None:
    assert expected in "\n".join(problems(config_file, override))


def test_classes_named_yes_and_no_are_no_truth_values(config_file: Path) -> None:
    config = load_config(config_file, ["classifier.class_names=[no, yes]", "ingest.labels=on"])
    assert (config.classifier.class_names, config.ingest.labels) == (("no", "yes"), "on")
    config_file.write_text(GOOD.replace("[NORMAL, PNEUMONIA]", "[No, Off]"))
    assert load_config(config_file).classifier.class_names == ("No", "Off")
    (found,) = problems(config_file, "classifier.class_names=[true, false]")[1:2]
    assert "put the name of the class in quotes" in found


def test_words_that_yaml_1_1_took_for_truth_values_stay_truth_values(config_file: Path) -> None:
    config = load_config(config_file, ["preprocess.min_max=yes", "ingest.voi_transform=off"])
    assert (config.preprocess.min_max, config.ingest.voi_transform) == (True, "off")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "scaling: unit\n", "it is preprocess.scaling. Indent it below preprocess:"),
        (GOOD + "  threshhold: 0.4\n", "unknown key. Perhaps you meant 'threshold'"),
        (GOOD + "  scaling: unit\n", "unknown here: it is preprocess.scaling"),
        (GOOD + "Report: {}\n", "unknown section. Perhaps you meant 'report'"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(
    config_file: Path, text: str, expected: str
) -> None:
    config_file.write_text(text)
    assert expected in "\n".join(problems(config_file))


def test_names_are_suggested_whatever_their_case(config_file: Path) -> None:
    found = problems(config_file, "classifier.target_class=pneumonia", "explain.methods=[HIRESCAM]")
    assert "Perhaps you meant 'PNEUMONIA'" in "\n".join(found)
    assert "Perhaps you meant 'hirescam'" in "\n".join(found)


def test_environment_variables_in_paths(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_TEST_DATA", "/data")
    monkeypatch.delenv("CXR_TEST_NONE", raising=False)
    config = load_config(config_file, ["ingest.source=${CXR_TEST_DATA}/x", "run.output=$HOME/runs"])
    assert config.ingest.source == "/data/x"
    assert config.run.output == Path.home() / "runs"
    with pytest.raises(ConfigError, match="variable CXR_TEST_NONE of the path"):
        load_config(config_file, ["ingest.source=$CXR_TEST_NONE/x"])


def test_an_override_that_a_command_does_not_read_is_refused(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine.workers=2 has no effect.*cohort, acceptance"):
        load_config(config_file, ["engine.workers=2"], ("cohort", "acceptance"))
    with pytest.raises(ConfigError, match="unknown section"):
        load_config(config_file, ["engin.workers=2"], ("cohort", "acceptance"))
    config = load_config(config_file, ["cohort.prevalence=0.1"], ("cohort", "acceptance"))
    assert config.cohort.prevalence == 0.1


def test_a_runs_own_config_with_an_override(config_file: Path) -> None:
    resolved = load_config(config_file, ["cohort.min_cases=7"]).resolved()
    cohort, acceptance = measured_by(resolved, ["cohort.prevalence=0.1"])
    assert (cohort.prevalence, cohort.min_cases) == (0.1, 7)
    assert acceptance == load_config(config_file).acceptance
    with pytest.raises(ConfigError, match="has no effect"):
        measured_by(resolved, ["classifier.threshold=0.4"])
    with pytest.raises(ConfigError, match="prevalence: "):
        measured_by(resolved, ["cohort.prevalence=4"])


def test_caffe_needs_three_channels(config_file: Path) -> None:
    found = problems(config_file, "preprocess.scaling=caffe", "preprocess.channels=1")
    assert "scaling caffe has a mean for each of 3 channels" in found[1]


@pytest.mark.parametrize("text", ["", "[1, 2]", "just words", "a: [", "run: &a {b: *a}"])
def test_what_is_no_config_is_a_named_error(config_file: Path, text: str) -> None:
    config_file.write_text(text)
    problems(config_file)


def test_a_missing_config_names_the_file(tmp_path: Path) -> None:
    assert "cannot read the config" in problems(tmp_path / "none.yaml")[0]


def test_the_identity_ignores_where_a_run_lands_and_how_many_work(config_file: Path) -> None:
    identity = load_config(config_file).sha256()
    assert (
        load_config(
            config_file,
            ["run.output=/elsewhere", "run.name=b", "engine.workers=7", "engine.batch_size=8"],
        ).sha256()
        == identity
    )
    assert load_config(config_file, ["focus.high_focus_threshold=0.6"]).sha256() != identity


def test_every_section_and_key_of_the_schema_has_a_description() -> None:
    schema = json_schema()
    json.dumps(schema)
    for name, section in schema["$defs"].items():
        assert section["description"], name
        for key, value in section["properties"].items():
            assert value.get("description"), f"{name}.{key} has no description"


def test_a_starter_config_is_valid_and_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(
        starter(
            {
                "run": {"name": ("new", "")},
                "ingest": {"source": ("images", "")},
                "preprocess": {"scaling": ("unit", "")},
                "classifier": {"path": ("reference", "")},
            }
        )
    )
    assert load_config(path).run.name == "new"
    for section in json_schema()["$defs"].values():
        for key in section["properties"]:
            assert f"{key}:" in path.read_text()


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    load_config(path)


def test_the_demo_config_names_every_key_with_the_comments_of_today(tmp_path: Path) -> None:
    """Written by `make generated`."""
    demo = Path("configs/demo.yaml")
    copy = tmp_path / "demo.yaml"
    copy.write_text(demo.read_text("utf-8"), "utf-8")
    rewrite(copy)
    assert copy.read_text("utf-8") == demo.read_text("utf-8"), "run: make generated"
    lines = [line.removeprefix("  ").removeprefix("# ") for line in demo.read_text().splitlines()]
    for keys in load_config(demo).resolved().values():
        assert all(any(line.startswith(f"{key}:") for line in lines) for key in keys)


def test_the_schema_beside_the_configs_is_the_programs() -> None:
    """Written by `cxr-audit schema > configs/audit.schema.json`."""
    assert json.loads(Path("configs/audit.schema.json").read_text()) == json_schema()


def test_an_empty_key_takes_its_default(config_file: Path) -> None:
    config_file.write_text(GOOD + "engine:\n  batch_size:\nfocus:\n")
    config = load_config(config_file)
    assert config.engine.batch_size == 16
    assert config.focus.high_focus_threshold == 0.5


CARD = "classifier.card={intended_use: a second look, population: adults"


def test_a_model_card_of_an_own_model(config_file: Path) -> None:
    card = load_config(
        config_file,
        [
            CARD
            + ", limits: [one, two], validation: {data: ours, bins: [[0, 0.5, 9, 1], [0.5, 1, 4, 4]]}}"
        ],
    ).classifier.card
    assert card is not None
    assert (card.intended_use, card.limits, card.data) == ("a second look", ("one", "two"), None)
    assert card.validation is not None
    assert card.validation.bins == ((0, 0.5, 9, 1), (0.5, 1, 4, 4))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (", reviewed_by: me", "reviewed_by"),
        (", data: ' '", "nothing but spaces"),
        (", validation: {data: ours, bins: []}", "at least 1 item"),
        (
            ", validation: {data: ours, bins: [[0, 0.5, 9, 10]]}",
            "no more cases have the label than there are",
        ),
        (", validation: {data: ours, bins: [[0, 0.5, 9, 1], [0.4, 1, 9, 1]]}", "bins ascend"),
        (", validation: {data: ours, bins: [[0.5, 0.5, 9, 1]]}", "bins ascend"),
        (", validation: {data: ours, bins: [[0.995, 1, 9, 1]]}", "two decimals"),
    ],
)
def test_a_model_card_that_cannot_be(config_file: Path, given: str, expected: str) -> None:
    assert expected in " ".join(problems(config_file, CARD + given + "}"))


def test_criteria_are_checked_one_by_one_with_their_lines(config_file: Path) -> None:
    config_file.write_text(
        GOOD + "acceptance:\n  criteria:\n    - {metric: auc, bound: lower, at_least: 0.9}\n"
        "    - metric: lungs_enrichmnt\n      abov: 1.5\n      share_at_least: 0.8\n"
        "    - {metric: entropy, share_at_most: 0.1}\n    - {metric: auc, metric: npv, at_least: 1}\n"
    )
    found = [line.split("audit.yaml:")[1] for line in problems(config_file)[1:]]
    assert found == [
        "12: acceptance.criteria.1.metric: unknown metric. Perhaps you meant 'lungs_enrichment'",
        "13: acceptance.criteria.1.abov: unknown key. Perhaps you meant 'above'",
        "15: acceptance.criteria.2: entropy is a number: give either above or below",
        "16: acceptance.criteria.3.metric: given twice, first in line 16",
    ]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("{metric: auc}", "auc is one number of the run: give either at_least or at_most, no more"),
        ("{metric: auc, at_least: 0.5, at_most: 0.9}", "give either at_least or at_most, no more"),
        ("{metric: auc, cases: true_positive, at_least: 0.5}", "auc is one number of the run"),
        ("{metric: entropy, above: 0.5, at_least: 0.5}", "entropy is of each case"),
        (
            "{metric: failed, above: 1, share_at_most: 0}",
            "failed is yes or no: give neither above nor below",
        ),
        (
            "{metric: failed, cases: true_positive, share_at_most: 0}",
            "failed cases have no outcome",
        ),
        ("{metric: colour, share_at_most: 0.05}", "unknown metric. Known: auc, "),
        ("{metric: entropy, above: .nan, share_at_most: 0.5}", "finite number"),
        ("{metric: auc, at_least: 90}", "less than or equal to 1"),
        ("{at_least: 0.9}", "missing; it has no default"),
    ],
)
def test_a_criterion_that_means_nothing_is_refused(
    config_file: Path, criterion: str, expected: str
) -> None:
    (found,) = problems(config_file, f"acceptance.criteria=[{criterion}]")[1:]
    assert found.startswith("--set acceptance.criteria.0")
    assert expected in found


@pytest.mark.parametrize("name", ["patient_id", "PatientName", "Patient ID", "accession-number"])
def test_no_subgroup_names_patients(config_file: Path, name: str) -> None:
    assert (
        f"{name!r} names patients"
        in problems(config_file, f"cohort.subgroups=[scanner, {name}]")[1]
    )


def test_a_run_is_measured_by_its_own_config(config_file: Path) -> None:
    config = load_config(
        config_file, ["cohort.prevalence=0.1", "acceptance.criteria=[{metric: auc, at_least: 0.9}]"]
    )
    assert measured_by(config.resolved()) == (config.cohort, config.acceptance)
    assert measured_by({}) == (load_config(config_file).cohort, load_config(config_file).acceptance)
    with pytest.raises(ConfigError, match="cannot be used here"):
        measured_by({"acceptance": {"criteria": [{"metric": "of a later version"}]}})


def _of_depth(depth: str | None, **sections: dict[str, object]) -> AuditConfig:
    run: dict[str, object] = {"name": "a"}
    if depth is not None:
        run["depth"] = depth
    required: dict[str, dict[str, object]] = {
        "ingest": {"source": "x"},
        "classifier": {"path": "reference"},
        "preprocess": {"channels": 1, "scaling": "unit"},
    }
    return config_of({"run": run, **required, **sections})


@pytest.mark.parametrize(
    ("depth", "masking", "probes", "stability"),
    [
        (None, 32, "all", "sample"),
        ("standard", 32, "all", "sample"),
        ("full", 64, "all", "all"),
        ("screening", 16, 32, "sample"),
    ],
)
def test_the_depth_sets_what_is_not_stated(
    depth: str | None, masking: int, probes: object, stability: str
) -> None:
    config = _of_depth(depth)
    found = config.masking.cases, config.masking.probes, config.trust.stability
    assert found == (masking, probes, stability)
    # The record has what was asked, whoever said it.
    assert config.resolved()["masking"]["cases"] == masking


def test_a_stated_key_wins_over_the_depth_and_leaves_the_others_to_it() -> None:
    stated = _of_depth("screening", masking={"cases": "all"}, trust={"stability": "all"})
    assert (stated.masking.cases, stated.trust.stability) == ("all", "all")
    assert stated.masking.probes == 32
    # Also a key that is stated with the value of another depth, and one that --set gives.
    values = {"ingest": {"source": "x"}, "classifier": {"path": "reference"}}
    values["preprocess"] = {"channels": 1, "scaling": "unit"}
    values["run"] = {"name": "a", "depth": "full"}
    assert config_of(values, ["masking.cases=32"]).masking.cases == 32
    # An empty value unsets the key: the depth says.
    assert config_of({**values, "masking": {"cases": 5}}, ["masking.cases="]).masking.cases == 64
    # What is asked is the identity of a run, not who said it, but for the depth itself.
    by_dial = _of_depth("full")
    by_keys = _of_depth("full", masking={"cases": 64, "probes": "all"})
    assert by_dial.sha256() == by_keys.sha256() != _of_depth("standard").sha256()


def test_an_unknown_depth_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown depth 'fast'") as caught:
        _of_depth("fast")
    assert "run.depth" in str(caught.value)
