"""One table of engines, read by loading, downloading, `info` and `export`."""

import sys
import types

import pytest

from plackett import CrossEncoder, SettingError
from plackett.checkpoints.exports import ENGINES, EngineSpec
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.base import EngineSettings, FakeEngine
from plackett.engines.loading import automatic, routes
from plackett.workflows import info
from plackett.workflows.export import exported_engines
from tiny import PAIRS


@pytest.fixture
def added(monkeypatch):
    """An engine `fast` whose exported file is `fast/model.fast`, faster than all others and installed."""
    module = types.ModuleType("fast_engine")
    monkeypatch.setattr(module, "load", lambda checkpoint, settings: FakeEngine(len), raising=False)
    monkeypatch.setitem(sys.modules, "fast_engine", module)
    exports = {"fp32": ("fast/model.fast",)}
    spec = EngineSpec("fast", "fast_engine", ("json",), "fast", ("fp32",), -1, exports)
    monkeypatch.setitem(ENGINES, "fast", spec)
    return spec


def test_an_engine_that_is_added_is_loaded_by_its_name(added, bert):
    encoder = CrossEncoder(bert, engine="fast")
    assert encoder.score(PAIRS)[:, 0].tolist() == encoder.encode(PAIRS).rows.lengths.tolist()


def test_auto_takes_it_where_its_file_is(added, bert, tmp_path):
    assert automatic(read_checkpoint(bert)) == "torch"
    copy = tmp_path / "model"
    CrossEncoder(bert).save_pretrained(copy)
    (copy / "fast").mkdir()
    (copy / "fast" / "model.fast").touch()
    assert automatic(read_checkpoint(copy)) == "fast"
    assert isinstance(CrossEncoder(copy)._engine, FakeEngine)


def test_its_files_are_fetched_before_others(added):
    assert routes("auto", EngineSettings())[0].files == ("fast/model.fast*",)
    assert routes("fast", EngineSettings())[0].files == ("fast/model.fast*",)


def test_info_and_export_list_it(added):
    [found] = [engine for engine in info.read_info().engines if engine.name == "fast"]
    assert found.installed
    assert "plackett[fast]" in found.install
    assert "fast" in exported_engines()


def test_a_precision_that_it_lacks_is_refused_with_those_that_have_it(added, bert):
    with pytest.raises(SettingError, match="openvino"):
        CrossEncoder(bert, engine="fast", precision="int8")


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_the_record_of_an_engine_is_whole(name):
    spec = ENGINES[name]
    assert spec.name == name
    assert set(spec.exports) == set(spec.export_packages)
    for precision in spec.precisions:
        EngineSettings(precision=precision)
        spec.check(precision)
